//! The command line.
//!
//! Promise: exit status 0 means it did what was asked; 1 that it could not, with the reason on standard error; 2 that the
//! command or its configuration has mistakes, all of which are listed. What programs read goes to standard output, what people read to standard error.

mod keep;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use milepost_proto::DeviceId;
use tokio_util::sync::CancellationToken;

use crate::auth::{self, Role, Scope};
use crate::config::{Config, ConfigError};
use crate::store::{Store, outbox, roster};
use crate::{check, clock, replay, serve};

/// The Milepost gateway: takes batches from agents, folds them into milestones, keeps Odoo and people aligned.
#[derive(Debug, Parser)]
#[command(name = "milepost-gateway", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(Configured),
    /// Say what is wrong with a configuration and what it points at.
    Check(Configured),
    /// Fold recorded facts offline and print the milestones.
    Replay(Replay),
    /// People who may sign in.
    #[command(subcommand)]
    User(User),
    /// Keys for programs.
    #[command(subcommand)]
    Key(Key),
    /// Devices that may hand records over.
    #[command(subcommand)]
    Device(Device),
    /// What Odoo is owed.
    #[command(subcommand)]
    Effect(Effect),
    /// What is held, missing and lost, of one device or of the fleet.
    Custody(keep::Custody),
    /// Copy the store to a new file, also while the gateway serves it.
    Backup(keep::BackUp),
    /// Put a backup in the store's place; stop the gateway first.
    Restore(keep::Restore),
    /// Say whether a store keeps what it promises.
    Verify(keep::Verify),
}

#[derive(Debug, Args)]
struct Configured {
    /// The gateway's configuration file.
    #[arg(long, default_value = "gateway.toml")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct Replay {
    /// The planned trips; without it stays are reported.
    #[arg(long)]
    plan: Option<PathBuf>,
    /// The recorded facts, one JSON object a line.
    #[arg(long)]
    records: PathBuf,
    /// Deliver them in an order that follows from this seed.
    #[arg(long)]
    shuffle: Option<u64>,
}

#[derive(Debug, Subcommand)]
enum User {
    /// Add a user; the password is read from standard input.
    Add {
        #[command(flatten)]
        configured: Configured,
        /// The name to sign in with.
        name: String,
        /// `viewer`, `operator` or `admin`.
        #[arg(long, default_value = "viewer")]
        role: Role,
    },
}

#[derive(Debug, Subcommand)]
enum Key {
    /// Create a key and print it, once.
    Create {
        #[command(flatten)]
        configured: Configured,
        /// What the key is for.
        name: String,
        /// What it opens: `read`, `orders`, `metrics`; may be given several times.
        #[arg(long = "scope", required = true)]
        scopes: Vec<Scope>,
    },
    /// Revoke a key.
    Revoke {
        #[command(flatten)]
        configured: Configured,
        /// What the key was for.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum Device {
    /// Let a device in (again).
    Add {
        #[command(flatten)]
        configured: Configured,
        /// The device, as its certificate names it.
        device: DeviceId,
    },
    /// Keep a device out.
    Revoke {
        #[command(flatten)]
        configured: Configured,
        /// The device, as its certificate names it.
        device: DeviceId,
    },
    /// List devices: name, state, when last heard.
    List(Configured),
}

#[derive(Debug, Subcommand)]
enum Effect {
    /// Let an effect that waits for a person be tried again.
    Retry {
        #[command(flatten)]
        configured: Configured,
        /// The effect's key, as the case names it.
        key: String,
    },
}

/// Does what the command line asks.
///
/// # Errors
/// Why it could not be done, for a person.
pub async fn run(cli: Cli, shutdown: CancellationToken) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(Configured { config }) => serve::run(&Config::load(&config)?, shutdown).await?,
        Command::Check(Configured { config }) => {
            let well = check::run(&config, &Config::load(&config)?, &mut std::io::stdout().lock()).await?;
            return Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Replay(command) => run_replay(&command)?,
        Command::User(command) => run_user(command).await?,
        Command::Key(command) => run_key(command).await?,
        Command::Device(command) => run_device(command).await?,
        Command::Effect(command) => run_effect(command).await?,
        Command::Custody(command) => keep::custody(&command)?,
        Command::Backup(command) => keep::back_up(&command)?,
        Command::Restore(command) => keep::restore(&command)?,
        Command::Verify(command) => return keep::verify(&command),
    }
    Ok(ExitCode::SUCCESS)
}

/// The exit status that goes with an error of [`run`].
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref() {
        Some(ConfigError::Faults { .. }) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

fn run_replay(command: &Replay) -> anyhow::Result<()> {
    let plan = command.plan.as_deref().map(read_text).transpose()?;
    let path = &command.records;
    let records = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (mut out, mut faults) = (std::io::stdout().lock(), std::io::stderr().lock());
    replay::run(plan.as_deref(), BufReader::new(records), command.shuffle, &mut out, &mut faults)
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

async fn run_user(command: User) -> anyhow::Result<()> {
    let User::Add { configured, name, role } = command;
    let (config, store) = open(&configured)?;
    eprintln!("password for {name}, then Enter:");
    let mut password = String::new();
    std::io::stdin().lock().take(4096).read_line(&mut password).context("no password on standard input")?;
    auth::create_user(&store, &config.fleet, &name, password.trim_end_matches(['\r', '\n']), role).await?;
    eprintln!("{name} may sign in to fleet {}", config.fleet);
    Ok(())
}

async fn run_key(command: Key) -> anyhow::Result<()> {
    match command {
        Key::Create { configured, name, scopes } => {
            let (config, store) = open(&configured)?;
            println!("{}", auth::create_api_key(&store, &config.fleet, &name, &scopes).await?);
            eprintln!("this is the only time the key is shown");
        }
        Key::Revoke { configured, name } => {
            let (config, store) = open(&configured)?;
            auth::revoke_api_key(&store, &config.fleet, &name).await?;
        }
    }
    Ok(())
}

async fn run_device(command: Device) -> anyhow::Result<()> {
    match command {
        Device::Add { configured, device } => {
            let (config, store) = open(&configured)?;
            let now = clock::now();
            store.write(move |connection| roster::add_device(connection, &config.fleet, &device, now)).await?;
        }
        Device::Revoke { configured, device } => {
            let (config, store) = open(&configured)?;
            let name = device.clone();
            let revoke =
                move |connection: &rusqlite::Connection| roster::revoke_device(connection, &config.fleet, &device);
            anyhow::ensure!(store.write(revoke).await?, "there is no device {name}");
        }
        Device::List(configured) => {
            let (config, store) = open(&configured)?;
            for device in store.read(move |connection| roster::devices(connection, &config.fleet)).await? {
                let seen = device.last_seen_at.map_or_else(|| "never heard".to_owned(), |at| at.to_string());
                println!("{}\t{}\t{seen}", device.device_id, device.state);
            }
        }
    }
    Ok(())
}

async fn run_effect(command: Effect) -> anyhow::Result<()> {
    let Effect::Retry { configured, key } = command;
    let (config, store) = open(&configured)?;
    let (name, now) = (key.clone(), clock::now());
    let release = move |connection: &rusqlite::Connection| outbox::release(connection, &config.fleet, &key, now);
    anyhow::ensure!(store.write(release).await?, "no effect {name} waits for a person");
    Ok(())
}

fn open(configured: &Configured) -> anyhow::Result<(Config, Store)> {
    let config = Config::load(&configured.config)?;
    let store = Store::open(&config.store_path)?;
    Ok((config, store))
}
