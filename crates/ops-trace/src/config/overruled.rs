//! Variables that are overridden by settings of the program.

use super::environment::{ARGUMENT, ENDPOINT, KEEP, LOGS_EXPORTER, METRICS_EXPORTER, QUEUE_SIZE};
use super::environment::{Environment, SAMPLER, SCHEDULE_DELAY};
use super::otlp::{timeout, url};
use super::resolved::queue_spans;
use super::sampler::{keep, sampler};
use super::signal::{Signal, TRACES};
use super::signals::{logs_wanted, metrics_wanted};
use crate::Config;

/// Variables of one setting in order of precedence, and the function that reads the setting.
type Setting = (Vec<&'static str>, Box<dyn Fn(&Config) -> String>);

impl Config {
    /// Returns the variables that ask for another value than the
    /// program's settings, which win; each with the value in effect.
    pub fn overruled(&self) -> Vec<(&'static str, String)> {
        let followed = self.clone().with_env();
        let mut settings: Vec<Setting> = vec![
            of_sampler(&self.environment),
            of(&[KEEP], |config| {
                keep(config, &mut Vec::new()).words().to_owned()
            }),
            of(&[QUEUE_SIZE], |config| {
                queue_spans(config, &mut Vec::new()).to_string()
            }),
            of(&[SCHEDULE_DELAY], |config| {
                let delay =
                    config
                        .delay()
                        .settled(&config.environment, SCHEDULE_DELAY, &mut Vec::new());
                delay.as_millis().to_string()
            }),
            of(&[LOGS_EXPORTER], |config| {
                exporter(logs_wanted(config, &mut Vec::new()))
            }),
            of(&[METRICS_EXPORTER], |config| {
                exporter(metrics_wanted(config, &mut Vec::new()))
            }),
        ];
        settings.extend(of_signal(&TRACES));
        #[cfg(feature = "otlp-metrics")]
        settings.extend(of_signal(&super::signal::METRICS));
        #[cfg(feature = "otlp-logs")]
        {
            use super::environment::LOGS_SCHEDULE_DELAY;
            settings.extend(of_signal(&super::signal::LOGS));
            settings.push(of(&[LOGS_SCHEDULE_DELAY], |config| {
                let delay = config.delay().of_logs(&config.environment, &mut Vec::new());
                delay.as_millis().to_string()
            }));
        }
        let mut overruled: Vec<(&'static str, String)> = Vec::new();
        for (variables, read) in settings {
            let Some((name, _)) = self.environment.first(&variables) else {
                continue;
            };
            let used = read(self);
            if used != read(&followed) && overruled.iter().all(|(known, _)| *known != name) {
                overruled.push((name, used));
            }
        }
        overruled
    }
}

fn of(variables: &[&'static str], read: impl Fn(&Config) -> String + 'static) -> Setting {
    (variables.to_vec(), Box::new(read))
}

/// Returns the ratio if the environment's sampler takes it from a variable, otherwise the sampler with its ratio.
fn of_sampler(env: &Environment) -> Setting {
    let name = env.name(&[SAMPLER]);
    let has_argument = name.is_some_and(|(_, name)| name.ends_with("traceidratio"));
    let variable = if has_argument { ARGUMENT } else { SAMPLER };
    of(&[variable], move |config| {
        match sampler(config, &mut Vec::new()) {
            Ok((_, ratio)) if has_argument => ratio.to_string(),
            Ok((kind, ratio)) => format!("{}, {ratio}", kind.name()),
            Err(error) => error.to_string(),
        }
    })
}

/// Returns the endpoint and the timeout of the exporter of one signal.
fn of_signal(signal: &'static Signal) -> [Setting; 2] {
    [
        of(&[signal.endpoint, ENDPOINT], move |config| {
            url(config, signal, &mut Vec::new())
                .map_or_else(|error| error.to_string(), |(url, _)| url)
        }),
        of(&signal.timeout, move |config| {
            timeout(config, signal, &mut Vec::new())
                .as_millis()
                .to_string()
        }),
    ]
}

fn exporter(is_wanted: bool) -> String {
    if is_wanted { "otlp" } else { "none" }.to_owned()
}
