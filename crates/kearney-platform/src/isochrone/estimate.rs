//! Built-in estimate: a circle whose radius follows from the usual speed of the mode.

use serde_json::{Value, json};

use super::Question;
use crate::domain_metrics::Mode;

/// Ratio of road distance to straight-line distance.
pub const DETOUR: f64 = 1.3;
/// Mean radius of the Earth.
const EARTH_KM: f64 = 6371.0088;
/// Number of corners of the polygon.
const CORNERS: u32 = 64;

pub fn speed_km_h(mode: Mode) -> f64 {
    match mode {
        Mode::Driving => 50.0,
        Mode::Cycling => 15.0,
        Mode::Walking => 4.8,
    }
}

pub fn radius_km(question: &Question) -> f64 {
    speed_km_h(question.mode) * f64::from(question.minutes) / 60.0 / DETOUR
}

/// Returns the circle as a polygon, or as two if it crosses the antimeridian (RFC 7946, section 3.1.9). Around a pole
/// it is the cap down to the circle's latitude.
pub fn area(question: &Question) -> Value {
    let angle = radius_km(question) / EARTH_KM;
    let reach = angle.to_degrees();
    if question.latitude.abs() + reach >= 90.0 {
        return polygon(&cap(question.latitude, reach));
    }
    let ring = circle(question, angle);
    let (west, east) = (|ring: &Vec<_>| clip(ring, -180.0, 180.0), 360.0);
    let parts = [-east, 0.0, east].map(|by| {
        let moved: Vec<[f64; 2]> = ring.iter().map(|[x, y]| [x + by, *y]).collect();
        west(&moved)
    });
    let parts: Vec<Vec<[f64; 2]>> = parts.into_iter().filter(|part| part.len() > 3).collect();
    match parts.as_slice() {
        [one] => polygon(one),
        several => {
            let rings: Vec<_> = several.iter().map(|ring| [ring]).collect();
            json!({ "type": "MultiPolygon", "coordinates": rings })
        }
    }
}

fn polygon(ring: &[[f64; 2]]) -> Value {
    json!({ "type": "Polygon", "coordinates": [ring] })
}

/// Returns points at this angle from the center, counter-clockwise, with the first one repeated at the end.
fn circle(question: &Question, angle: f64) -> Vec<[f64; 2]> {
    let (lat, lon) = (
        question.latitude.to_radians(),
        question.longitude.to_radians(),
    );
    let corner = |number: u32| {
        let bearing = -std::f64::consts::TAU * f64::from(number % CORNERS) / f64::from(CORNERS);
        let sin_lat = lat.sin() * angle.cos() + lat.cos() * angle.sin() * bearing.cos();
        let east = bearing.sin() * angle.sin() * lat.cos();
        let north = angle.cos() - lat.sin() * sin_lat;
        let x = lon + east.atan2(north);
        [
            rounded(x.to_degrees()),
            rounded(sin_lat.clamp(-1.0, 1.0).asin().to_degrees()),
        ]
    };
    (0..=CORNERS).map(corner).collect()
}

fn cap(latitude: f64, reach: f64) -> Vec<[f64; 2]> {
    let edge = rounded(latitude.abs() - reach).max(0.0);
    let (pole, edge) = (90_f64.copysign(latitude), edge.copysign(latitude));
    let (south, north) = (pole.min(edge), pole.max(edge));
    vec![
        [-180.0, south],
        [180.0, south],
        [180.0, north],
        [-180.0, north],
        [-180.0, south],
    ]
}

/// Clips a closed ring to these meridians; empty if nothing is left.
fn clip(ring: &[[f64; 2]], west: f64, east: f64) -> Vec<[f64; 2]> {
    let west_cut = cut(ring, |x| x - west);
    cut(&west_cut, |x| east - x)
}

/// Returns the part of the ring where `inside` is not negative.
fn cut(ring: &[[f64; 2]], inside: impl Fn(f64) -> f64) -> Vec<[f64; 2]> {
    let mut kept: Vec<[f64; 2]> = Vec::new();
    for pair in ring.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let (a, b) = (inside(from[0]), inside(to[0]));
        if a >= 0.0 {
            kept.push(from);
        }
        if (a > 0.0 && b < 0.0) || (a < 0.0 && b > 0.0) {
            let share = a / (a - b);
            let x = from[0] + share * (to[0] - from[0]);
            kept.push([rounded(x), rounded(from[1] + share * (to[1] - from[1]))]);
        }
    }
    if let Some(first) = kept.first().copied() {
        kept.push(first);
    }
    kept
}

/// Rounds to six digits: 11 cm at the equator.
fn rounded(degrees: f64) -> f64 {
    (degrees * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> (Value, f64) {
        let question = Question {
            latitude,
            longitude,
            minutes: 60,
            mode: Mode::Driving,
        };
        (area(&question), radius_km(&question))
    }

    fn points(ring: &Value) -> Vec<[f64; 2]> {
        serde_json::from_value(ring.clone()).unwrap()
    }

    fn distance_km([x, y]: [f64; 2], lat: f64, lon: f64) -> f64 {
        let (dy, dx) = ((y - lat).to_radians(), (x - lon).to_radians());
        let h = (dy / 2.0).sin().powi(2)
            + y.to_radians().cos() * lat.to_radians().cos() * (dx / 2.0).sin().powi(2);
        2.0 * EARTH_KM * h.sqrt().asin()
    }

    #[test]
    fn every_corner_is_as_far_away_as_the_radius_and_the_ring_is_closed() {
        for (lat, lon) in [(37.6, -122.4), (0.0, 0.0), (-60.0, 30.0), (89.0, 5.0)] {
            let (area, radius) = at(lat, lon);
            let ring = points(&area["coordinates"][0]);
            assert_eq!((ring.len(), ring.first()), (65, ring.last()));
            for point in &ring {
                assert!((distance_km(*point, lat, lon) - radius).abs() < 0.01);
            }
            let turns = ring
                .windows(2)
                .map(|p| p[0][0] * p[1][1] - p[1][0] * p[0][1]);
            assert!(turns.sum::<f64>() > 0.0, "counter-clockwise");
        }
    }

    #[test]
    fn it_is_cut_at_the_antimeridian_and_a_cap_around_a_pole() {
        for lon in [179.9, -179.9] {
            let (area, _) = at(10.0, lon);
            assert_eq!(area["type"], "MultiPolygon");
            let parts = area["coordinates"].as_array().unwrap();
            assert_eq!(parts.len(), 2);
            for part in parts {
                let ring = points(&part[0]);
                assert!(ring.iter().all(|[x, _]| x.abs() <= 180.0));
                assert_eq!(ring.first(), ring.last());
            }
        }
        for (lat, edge) in [(90.0, 89.654), (-89.9, -89.554)] {
            let ring = points(&at(lat, 0.0).0["coordinates"][0]);
            assert!(
                ring.iter().any(|[_, y]| (y - edge).abs() < 0.001),
                "{ring:?}"
            );
        }
    }
}
