//! Answers what is asked on the socket.

use super::Daemon;
use super::message::{PullRequest, Request};
use crate::applications;
use crate::exit::{self, Failed};
use crate::hydrate::Hydration;
use crate::json;
use crate::pull::{GiveUp, Laziness, PullOptions, pull};
use crate::report::{Report, Said};
use crate::target::Target;
use smol::Timer;
use smol::channel::{Sender, bounded};
use smol::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use smol::net::unix::{UnixListener, UnixStream};
use std::rc::Rc;
use std::time::Duration;

/// Longest question.
const LONGEST: u64 = 64 * 1024;
/// Lines that wait for whoever asked to read them; what is more is left out.
const BACKLOG: usize = 256;

impl Daemon {
    /// Answers everybody who connects.
    pub(super) async fn accept(self: Rc<Self>, listener: UnixListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let daemon = Rc::clone(&self);
                    self.executor.spawn(daemon.converse(stream)).detach();
                }
                // No descriptors, for one: some will be free again.
                Err(_) => drop(Timer::after(Duration::from_millis(100)).await),
            }
        }
    }

    async fn converse(self: Rc<Self>, stream: UnixStream) {
        let mut line = String::new();
        let mut hearing = BufReader::new(stream.clone()).take(LONGEST);
        let read = hearing.read_line(&mut line).await;
        let Ok(request) = read.and_then(|_| Ok(json::read::<Request>(&mut line.as_bytes())?))
        else {
            return;
        };
        let (tell, told) = bounded(BACKLOG);
        let saying = async move {
            let mut stream = stream;
            while let Ok(said) = told.recv().await {
                let line = json::text(&said).unwrap_or_default() + "\n";
                if stream.write_all(line.as_bytes()).await.is_err() {
                    break;
                }
            }
        };
        let (asker, give_up) = GiveUp::pair();
        // Whoever has asked says nothing more until he goes: then what is not visible yet is given up.
        let leaving = async {
            let _ = hearing.read_to_end(&mut Vec::new()).await;
            drop(asker);
            std::future::pending().await
        };
        let answering = smol::future::or(self.answer(request, tell, give_up), leaving);
        smol::future::zip(saying, answering).await;
    }

    async fn answer(self: Rc<Self>, request: Request, tell: Sender<Said>, give_up: GiveUp) {
        let code = match request {
            Request::Pull(asked) => match self.pull(&asked, &tell, give_up).await {
                Ok(()) => 0,
                Err(failed) => {
                    let (sentence, code) = exit::told(&failed);
                    let _ = tell.send(Said::Err(sentence + "\n")).await;
                    code
                }
            },
            Request::Status { json } => {
                let (text, code) = self.status(json);
                let _ = tell.send(Said::Out(text)).await;
                code
            }
            Request::Removed => {
                for hydration in self.hydrations.borrow().iter() {
                    // What can't be looked at now is looked at again later.
                    let _ = hydration.drop_removed();
                }
                0
            }
        };
        let _ = tell.send(Said::Exit(code)).await;
    }

    async fn pull(
        self: &Rc<Self>,
        asked: &PullRequest,
        tell: &Sender<Said>,
        give_up: GiveUp,
    ) -> Result<(), Failed> {
        if !asked.security.is_empty() && asked.security != self.security.options().text() {
            return Err(Failed::OtherSecurity);
        }
        let mut target = match &asked.root {
            Some(root) => Target::root(root)?,
            None => {
                let (socket, namespace) = (&asked.containerd, &asked.namespace);
                Target::containerd(socket, namespace, &asked.snapshotter).await?
            }
        };
        let mut report = Report::to_peer(asked.json, asked.terminal, tell.clone());
        let lock = self.state.lock()?;
        applications::finish(&self.state, &lock, &mut target).await?;
        self.count();
        let options = PullOptions {
            wanted: asked.wanted.clone(),
            accelerator: asked.accelerator.clone(),
            security: Rc::clone(&self.security),
            dry_run: asked.dry_run,
            budget: asked.budget,
            no_devices: asked.no_devices,
            lazy: if asked.require_lazy { Laziness::Require } else { Laziness::Auto },
            give_up,
        };
        let guard = Some(&*self.guard);
        let pulled = pull(&options, &mut target, &self.state, &lock, &mut report, guard).await;
        drop(lock);
        report.clear();
        let hydration = match pulled.rest {
            Some(rest) => {
                let (hydration, stream, client) = Hydration::new(rest, Rc::clone(&self.guard))
                    .map_err(super::DaemonError::Hydrate)?;
                Some(self.hydrate(hydration, stream, client))
            }
            None => None,
        };
        let summary = pulled.result?;
        if let (true, Some(hydration)) = (asked.wait, hydration) {
            self.wait(&hydration, &mut report).await;
        }
        report.done(&summary);
        Ok(())
    }

    async fn wait(&self, hydration: &Hydration, report: &mut Report) {
        let showing = async {
            loop {
                let progress = hydration.progress();
                report.hydrating(progress.cold_files, progress.cold_bytes);
                Timer::after(Duration::from_millis(500)).await;
            }
        };
        smol::future::or(hydration.finished(), showing).await;
    }
}
