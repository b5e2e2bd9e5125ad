//! `puerto serve`: the daemon in the foreground.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::config::wrong;
use super::exit::{Failure, Sysexit, end};
use super::spanish::Spanish as _;
use crate::config::Config;
use crate::lang::{Language, said_of, system};
use crate::serve::{
    Daemon, Prepared, Signals, StartError, fit_arenas, fit_threads, hold_back_reloads, notify,
    ready, watchdog,
};

/// Run the server in the foreground.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// First bring the database's tables to this program's version, as `puerto store migrate`
    #[arg(es = "Antes, pone las tablas de la base de datos en la versión de este programa, como \
                `puerto store migrate`")]
    #[arg(long)]
    migrate: bool,
}

/// Serves until it is told to stop.
pub fn run(arguments: &ServeArgs, file: Option<&Path>, language: Language) -> ExitCode {
    fit_arenas();
    hold_back_reloads();
    let config = match Config::load_whole(file) {
        Ok(config) => config,
        Err(errors) => {
            return wrong(&errors, "", language).into();
        }
    };
    let served = serve(config, file, arguments.migrate).map(|()| Sysexit::Ok);
    let failed = |error: StartError| Failure::new(exit_code(&error), error.said());
    end("puerto", served.map_err(failed), language)
}

fn serve(config: Config, file: Option<&Path>, migrate: bool) -> Result<(), StartError> {
    let prepared = Prepared::new(config)?;
    // Threads start only now, with the rights of the service's user.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().thread_name("puerto");
    fit_threads(&mut runtime);
    let runtime = runtime.build().map_err(|error| {
        StartError::Privileges(said_of!(
            "cannot start threads: {error}", "no se pueden iniciar hilos: {error}";
            error = system(&error)
        ))
    })?;
    runtime.block_on(async {
        let mut signals = Signals::listen().map_err(|error| {
            StartError::Privileges(said_of!(
                "signals cannot be received: {error}", "no se pueden recibir señales: {error}";
                error = system(&error)
            ))
        })?;
        let opened = prepared.with_store(&mut signals, migrate).await?;
        let Some(prepared) = opened else { return Ok(()) };
        let daemon = Daemon::start(prepared, file.map(Path::to_owned)).await?;
        ready(&daemon.config().hostname);
        tokio::spawn(watchdog());
        let ended = tokio::select! {
            () = signals.until_told_to_stop(&daemon) => Ok(()),
            lost = daemon.agent_is_lost() => Err(lost),
        };
        notify("STOPPING=1\nSTATUS=Finishes what is in flight");
        daemon.stop().await;
        ended
    })
}

pub(super) fn exit_code(error: &StartError) -> Sysexit {
    match error {
        StartError::NoSuchUser(_) | StartError::Tls(_) => Sysexit::Config,
        StartError::Folder { .. } | StartError::Log(_) => Sysexit::CantCreate,
        StartError::Privileges(_) => Sysexit::OsError,
        StartError::Bind(_) => Sysexit::Unavailable,
        // Nothing was changed; when the disk is as it should be, a start goes well.
        StartError::Spool(_) | StartError::Store(_) => Sysexit::TryAgain,
    }
}
