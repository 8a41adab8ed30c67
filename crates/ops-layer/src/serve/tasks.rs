use std::future::Future;

use tokio::task::{AbortHandle, JoinHandle};

use super::connections::{Connections, Phase};

/// Tasks and connections of a service or job. They end when this value is dropped, also with the future that owns it.
#[derive(Default)]
pub(super) struct Tasks {
    running: Vec<AbortHandle>,
    connections: Option<Connections>,
}

impl Tasks {
    pub(super) fn of(connections: &Connections) -> Self {
        Self {
            running: Vec::new(),
            connections: Some(connections.clone()),
        }
    }

    /// Spawns a task without any context.
    pub(super) fn spawn<F>(&mut self, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let task = tokio::spawn(work);
        self.running.push(task.abort_handle());
        task
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.running.iter().for_each(AbortHandle::abort);
        if let Some(connections) = &self.connections {
            // a connection that is being accepted ends on its own
            connections.set_phase(Phase::Closing);
            connections.cut_off();
        }
    }
}
