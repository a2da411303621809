//! An orderly end: nothing new comes in, what runs is finished, then the store closes.

use tokio::sync::watch;

/// Gives the word to stop. Clones speak for the same server.
#[derive(Debug, Clone)]
pub struct StopSignal {
    said: watch::Sender<bool>,
}

impl Default for StopSignal {
    fn default() -> Self {
        Self { said: watch::Sender::new(false) }
    }
}

impl StopSignal {
    /// Everybody who waits goes on. Saying it twice is saying it once.
    pub fn stop(&self) {
        self.said.send_replace(true);
    }

    /// Whether it was said.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.said.borrow()
    }

    /// Waits for it.
    pub async fn stopped(&self) {
        let mut said = self.said.subscribe();
        // The sender lives in `self`, so this ends only by the word.
        drop(said.wait_for(|said| *said).await);
    }
}

/// Waits until the operator or the system wants this process to end: SIGTERM or Ctrl-C.
///
/// # Errors
/// [`std::io::Error`] if the process cannot listen for signals.
pub async fn asked_to_stop() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            pressed = tokio::signal::ctrl_c() => pressed,
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_later_hears_it_too() {
        let signal = StopSignal::default();
        let early = signal.clone();
        let early = tokio::spawn(async move { early.stopped().await });
        signal.stop();
        early.await.unwrap();
        signal.stopped().await;
        assert!(signal.is_stopped());
    }
}
