//! The program `skiff`: from the command line to what the other modules do.

use crate::applications::{self, Name};
use crate::cli::{self, Command, Options};
use crate::daemon::{self, PullRequest, Request};
use crate::exit::{self, Failed};
use crate::holder;
use crate::http::Security;
use crate::pull::{GiveUp, Laziness, Outcome, PullOptions, Wanted, pull, verify};
use crate::report::{self, Report, json_line};
use crate::state::{Lock, StateDir};
use crate::sys;
use crate::target::{ImageRecord, ListedImage, Target};
use crate::trace::{self, trace};
use crate::updates;
use serde::Serialize;
use std::process::ExitCode;
use std::rc::Rc;

/// Does what the command line says.
pub fn main() -> ExitCode {
    if !sys::has_instructions() {
        return exit::say(&Failed::Processor);
    }
    // What is made for skiff itself nobody else may write, whatever mask we inherit. Modes in
    // snapshots are set one by one.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let options = match cli::parse(std::env::args_os(), |name| std::env::var_os(name)) {
        Ok(options) => options,
        Err(error) => return exit::say(&Failed::Usage(error)),
    };
    let state = StateDir::new(options.state.clone());
    let done = match &options.command {
        Command::Daemon { class, rate } => {
            daemon::run(state, class.clone(), *rate, options.security.clone()).map_err(Failed::from)
        }
        Command::Holder { socket } => {
            let socket = socket.clone().unwrap_or_else(|| state.holder_socket());
            holder::keep(&socket).map_err(Failed::from)
        }
        _ => smol::block_on(run(&options, &state)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::Relayed(code)) => ExitCode::from(code),
        Err(failed) => exit::say(&failed),
    }
}

async fn run(options: &Options, state: &StateDir) -> Result<(), Failed> {
    match &options.command {
        Command::Help => print!("{}", cli::HELP),
        Command::Version => println!("skiff {}", env!("CARGO_PKG_VERSION")),
        Command::Daemon { .. } | Command::Holder { .. } => {}
        Command::Pull { .. } => pull_or_ask(options, state).await?,
        Command::Rollback { application } => {
            let mut target = open_target(options).await?;
            let lock = lock(state, &mut target).await?;
            let images = applications::rollback(application, state, &lock, &mut target).await?;
            say_rolled_back(options, Some(application), &images);
        }
        Command::RollbackImage { image } => {
            let mut target = open_target(options).await?;
            let lock = lock(state, &mut target).await?;
            let record = updates::rollback(image, state, &lock, &mut target).await?;
            say_rolled_back(options, None, &[record]);
        }
        Command::List => {
            for image in open_target(options).await?.list().await? {
                if options.json {
                    json_line(&image);
                } else {
                    println!("{} {}", image.name, image.digest);
                }
            }
        }
        Command::Remove { images } => {
            let mut target = open_target(options).await?;
            let _lock = lock(state, &mut target).await?;
            for image in images {
                updates::remove(image, &mut target).await?;
            }
            if let Some(daemon) = daemon::connect(&state.daemon_socket()) {
                daemon::ask(daemon, &Request::Removed)?;
            }
        }
        Command::Verify { .. } => verify_images(options, state).await?,
        Command::Mount { image, directory } => {
            open_target(options).await?.mount(image, &state.empty(), directory).await?;
        }
        Command::Trace(asked) => {
            let accelerator = match asked.print {
                true => None,
                false => Some(options.accelerator.as_deref().ok_or(Failed::NoAccelerator)?),
            };
            let target = open_target(options).await?;
            say_traced(options, &trace(asked, accelerator, options, state, &target).await?);
        }
        Command::Status => status(options, state).await?,
        Command::Collect => {
            let mut target = open_target(options).await?;
            let _lock = lock(state, &mut target).await?;
            let leftovers = target.collect().await? + updates::collect(&mut target).await?;
            let pulls = state.remove_leftovers()?;
            daemon::forget_zeros(state.path())?;
            say_collected(options, leftovers, pulls);
        }
    }
    Ok(())
}

/// Pulls through the daemon if there is one, else here.
async fn pull_or_ask(options: &Options, state: &StateDir) -> Result<(), Failed> {
    let Command::Pull { wanted, dry_run, budget, lazy, wait, no_devices } = &options.command else {
        return Ok(());
    };
    let (wanted, dry_run, budget, lazy) = (wanted.clone(), *dry_run, *budget, *lazy);
    let accelerator = options.accelerator.clone().ok_or(Failed::NoAccelerator)?;
    if lazy != Laziness::Never
        && let Some(daemon) = daemon::connect(&state.daemon_socket())
    {
        let request = PullRequest {
            wanted,
            accelerator,
            security: options.security.text(),
            dry_run,
            budget,
            no_devices: *no_devices,
            require_lazy: lazy == Laziness::Require,
            wait: *wait,
            containerd: options.containerd.clone(),
            namespace: options.namespace.clone(),
            snapshotter: options.snapshotter.clone(),
            root: options.root.clone(),
            json: options.json,
            terminal: report::is_terminal(),
        };
        return match daemon::ask(daemon, &Request::Pull(Box::new(request)))? {
            0 => Ok(()),
            code => Err(Failed::Relayed(code)),
        };
    }
    let mut target = open_target(options).await?;
    let lock = lock(state, &mut target).await?;
    let mut report = Report::new(options.json);
    if lazy == Laziness::Auto && !dry_run {
        report.eager("no daemon is running");
    }
    let security = Rc::new(Security::new(options.security.clone()));
    let no_devices = *no_devices;
    let give_up = GiveUp::never();
    let pull_options =
        PullOptions { wanted, accelerator, security, dry_run, budget, lazy, no_devices, give_up };
    let pulled = pull(&pull_options, &mut target, state, &lock, &mut report, None).await;
    report.clear();
    report.done(&pulled.result?);
    Ok(())
}

async fn verify_images(options: &Options, state: &StateDir) -> Result<(), Failed> {
    let Command::Verify { images, repair, budget } = &options.command else { return Ok(()) };
    let accelerator = options.accelerator.clone().ok_or(Failed::NoAccelerator)?;
    let mut target = open_target(options).await?;
    let lock = lock(state, &mut target).await?;
    let cold = state.hydrating()?.len();
    if *repair && cold > 0 && daemon::connect(&state.daemon_socket()).is_none() {
        return Err(Failed::NoDaemon(cold));
    }
    let pull_options = PullOptions {
        wanted: Wanted::Images(Vec::new()),
        accelerator,
        security: Rc::new(Security::new(options.security.clone())),
        dry_run: false,
        budget: *budget,
        lazy: Laziness::Never,
        no_devices: false,
        give_up: GiveUp::never(),
    };
    let mut report = Report::new(options.json);
    match verify(images, &pull_options, *repair, &mut target, state, &lock, &mut report).await? {
        Outcome::Right => Ok(()),
        Outcome::Mended => Err(Failed::Mended),
        Outcome::Wrong => Err(Failed::Wrong),
    }
}

async fn open_target(options: &Options) -> Result<Target, Failed> {
    Ok(match &options.root {
        Some(root) => Target::root(root)?,
        None => {
            let (socket, namespace) = (&options.containerd, &options.namespace);
            Target::containerd(socket, namespace, &options.snapshotter).await?
        }
    })
}

/// Takes the lock, and finishes what a dead deployment of an application had begun.
async fn lock(state: &StateDir, target: &mut Target) -> Result<Lock, Failed> {
    let lock = state.lock()?;
    applications::finish(state, &lock, target).await?;
    Ok(lock)
}

/// One thing that an unfinished pull left behind.
#[derive(Serialize)]
#[serde(tag = "leftover", rename_all = "snake_case")]
enum Leftover {
    Pull { id: String, images: Vec<String>, bytes: u64 },
    Target { name: String },
}

/// What `skiff rollback --json` says.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Said<'a> {
    RolledBack {
        #[serde(skip_serializing_if = "Option::is_none")]
        application: Option<&'a str>,
        images: &'a [ListedImage],
    },
}

/// What `skiff gc --json` says.
#[derive(Serialize)]
struct Collected {
    removed_leftovers: usize,
    removed_pulls: usize,
}

async fn status(options: &Options, state: &StateDir) -> Result<(), Failed> {
    let mut found: Vec<Leftover> = Vec::new();
    for pull in state.leftovers()? {
        found.push(Leftover::Pull { id: pull.id, images: pull.images, bytes: pull.bytes });
    }
    for name in open_target(options).await?.leftovers().await? {
        found.push(Leftover::Target { name });
    }
    for leftover in &found {
        if options.json {
            json_line(leftover);
            continue;
        }
        match leftover {
            Leftover::Pull { id, images, bytes } => println!(
                "pull {id} of {} is running or did not end: {} of scratch files",
                images.join(" "),
                report::size(*bytes)
            ),
            Leftover::Target { name } => {
                println!("{name} is left of a pull that is running or did not end")
            }
        }
    }
    if found.is_empty() && !options.json {
        println!("nothing is left of unfinished pulls");
    }
    let Some(daemon) = daemon::connect(&state.daemon_socket()) else {
        let cold = state.hydrating()?.len();
        if cold > 0 && !options.json {
            println!("{cold} pulls are not all there, and no daemon brings the rest");
        } else if !options.json {
            println!("no daemon is running: what is pulled is fetched before the start");
        }
        return Ok(());
    };
    match daemon::ask(daemon, &Request::Status { json: options.json })? {
        0 => Ok(()),
        _ => Err(Failed::Zeros),
    }
}

fn say_rolled_back(options: &Options, application: Option<&Name>, images: &[ImageRecord]) {
    let listed = |image: &ImageRecord| ListedImage {
        name: image.name.clone(),
        digest: image.target.to_string(),
    };
    let images: Vec<ListedImage> = images.iter().map(listed).collect();
    if options.json {
        let application = application.map(Name::as_str);
        return json_line(&Said::RolledBack { application, images: &images });
    }
    for image in &images {
        println!("{} {}", image.name, image.digest);
    }
}

fn say_traced(options: &Options, traced: &trace::Summary) {
    if options.json {
        return json_line(traced);
    }
    let trace::Summary { images, files, gaps, ready } = traced;
    eprintln!("skiff: {files} files of {} were used", images.join(", "));
    if *gaps {
        eprintln!("skiff: there were more, which were lost");
    }
    if !ready {
        eprintln!("skiff: the time was over before anything listened on the port");
    }
}

fn say_collected(options: &Options, leftovers: usize, pulls: usize) {
    if options.json {
        json_line(&Collected { removed_leftovers: leftovers, removed_pulls: pulls });
    } else {
        println!("removed {leftovers} leftovers and the scratch files of {pulls} pulls");
    }
}
