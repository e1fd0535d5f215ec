//! A throw-away PostgreSQL cluster for tests and measurements, made from the installed programs.
//!
//! - It listens on a socket in its own folder and nowhere else, so any number of them run side by side;
//!   one that is to be reached otherwise also on a free port of this machine.
//! - It goes when its owner goes, however that ends: a shell that keeps it stops it and removes the
//!   folder as soon as the pipe to its owner is closed.
//! - PostgreSQL refuses to run as root: then it runs as another user of the machine.
//!
//! Start at [`new_store`], for a test that runs on either database, or at [`Cluster::shared`] and
//! [`Cluster::database`].

mod pooler;
mod store;

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use postgres::{Client, Config, NoTls};

pub use self::pooler::{POOL_MAX, Pooler};
pub use self::store::{ask, contents, is_postgres, new_store, run, set_clock};

/// How long a cluster may take until it answers, recovery from a crash included.
const READY_MAX: Duration = Duration::from_secs(60);
/// The number in a socket's name.
const PORT: u16 = 5432;
/// The superuser of every cluster.
const USER: &str = "requite";
/// Small, and not durable: what is tested is what happens above the disk.
const SETTINGS: [&str; 6] = [
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=64MB",
    "max_connections=200",
    "log_line_prefix=%d ",
    "autovacuum_naptime=5s",
];

/// Runs the server (`$1` with the rest as arguments) and does as it is told, line by line. In the end
/// nothing is left.
const KEEPER: &str = r#"
folder="$1"; shift
start() { "$@" </dev/null >>"$folder/log" 2>&1 & server=$!; }
end() { kill "-$1" "$server" 2>/dev/null; wait "$server"; }
start "$@"
while read -r word; do
    case "$word" in
        start) start "$@" ;;
        fast) end INT ;;
        immediate) end QUIT ;;
        kill) end KILL ;;
    esac
done
end QUIT
rm -rf "$folder"
"#;

/// A running cluster. Dropping it removes it.
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    keeper: Mutex<Child>,
    databases: AtomicU32,
}

/// How a cluster is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Transactions are rolled back and clients told.
    Fast,
    /// As if the machine had crashed, but for what is on its way to the disk.
    Immediate,
    /// With kill -9, and nobody is told.
    Kill,
}

impl Cluster {
    /// The one that all tests of this process share.
    ///
    /// # Panics
    /// When there is no PostgreSQL, or it does not start: such a test has failed.
    pub fn shared() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Cluster::start(&[]).expect("a PostgreSQL cluster for the tests"))
    }

    /// A cluster of one's own, with settings (`name=value`) on top of the usual ones.
    pub fn start(settings: &[&str]) -> Result<Cluster, String> {
        Cluster::make(PORT, settings, &[])
    }

    /// A cluster that listens on 127.0.0.1 as well, and with a certificate and its key (PEM) encrypts there
    /// for whoever wants it. It logs how its clients came.
    pub fn start_reachable(certificate: Option<(&str, &str)>) -> Result<Cluster, String> {
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = free.map_err(|cause| format!("no port: {cause}"))?.port();
        let number = format!("port={port}");
        let mut settings =
            vec![number.as_str(), "listen_addresses=127.0.0.1", "log_connections=on"];
        let Some((certificate, key)) = certificate else {
            return Cluster::make(port, &settings, &[]);
        };
        settings.push("ssl=on");
        Cluster::make(port, &settings, &[("server.crt", certificate), ("server.key", key)])
    }

    /// `files` are put where PostgreSQL looks for them.
    fn make(port: u16, settings: &[&str], files: &[(&str, &str)]) -> Result<Cluster, String> {
        let (programs, user) = (programs()?, other_user()?);
        let folder = own_folder(user)?;
        let data = folder.join("data");
        let mut initdb = as_user(&programs.join("initdb"), user);
        initdb.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", USER]);
        let made = initdb.arg("-D").arg(&data).current_dir(&folder).output();
        let made = made.map_err(|cause| format!("initdb: {cause}"))?;
        if !made.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)));
        }
        for (name, text) in files {
            place(&data.join(name), text, user)
                .map_err(|cause| format!("{name} cannot be written: {cause}"))?;
        }
        Cluster::run(folder, port, settings)
    }

    /// Starts the server on the data in a folder of its own.
    fn run(folder: PathBuf, port: u16, settings: &[&str]) -> Result<Cluster, String> {
        let (programs, data) = (programs()?, folder.join("data"));
        let mut keeper = as_user(Path::new("/bin/sh"), other_user()?);
        keeper.args(["-c", KEEPER, "keeper"]).arg(&folder).arg(programs.join("postgres"));
        keeper.arg("-D").arg(&data).args(["-c", "listen_addresses="]);
        keeper.arg("-c").arg(format!("unix_socket_directories={}", folder.display()));
        for setting in SETTINGS.iter().chain(settings) {
            keeper.args(["-c", setting]);
        }
        keeper.current_dir(&folder).stdin(Stdio::piped()).stdout(Stdio::null());
        let keeper = keeper.spawn().map_err(|cause| format!("no keeper: {cause}"))?;
        let databases = AtomicU32::new(0);
        let cluster = Cluster { folder, port, keeper: Mutex::new(keeper), databases };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// A copy that follows this cluster. From now on this one confirms no commit that the copy does not have.
    pub fn standby(&self) -> Result<Cluster, String> {
        let (programs, user) = (programs()?, other_user()?);
        let folder = own_folder(user)?;
        // Where the programs are links, those that are not linked lie beside what they lead to.
        let postgres = fs::canonicalize(programs.join("postgres"));
        let postgres = postgres.map_err(|cause| format!("no postgres: {cause}"))?;
        let mut copy = as_user(&postgres.with_file_name("pg_basebackup"), user);
        copy.args(["--no-sync", "--checkpoint=fast", "--write-recovery-conf", "-U", USER, "-h"]);
        copy.arg(&self.folder).args(["-p", &self.port.to_string(), "-D"]).arg(folder.join("data"));
        let copied = copy.current_dir(&folder).output();
        let copied = copied.map_err(|cause| format!("pg_basebackup: {cause}"))?;
        if !copied.status.success() {
            return Err(format!("pg_basebackup: {}", String::from_utf8_lossy(&copied.stderr)));
        }
        let standby = Cluster::run(folder, PORT, &[])?;
        self.obeys("alter system set synchronous_standby_names = '*'")?;
        self.obeys("select pg_reload_conf()")?;
        self.until("select count(*) from pg_stat_replication where sync_state = 'sync'", 1)?;
        Ok(standby)
    }

    /// Makes a standby take over, and waits until it writes. Nobody is to wait for a standby of its own.
    pub fn promote(&self) -> Result<(), String> {
        self.obeys("select pg_promote(true, 60)")?;
        self.until("select count(*) from (select pg_is_in_recovery()) r(it) where not it", 1)
    }

    fn obeys(&self, sql: &str) -> Result<(), String> {
        let mut client = self.client("postgres").map_err(|cause| cause.to_string())?;
        client.batch_execute(sql).map_err(|cause| format!("{sql}: {cause}"))
    }

    fn until(&self, sql: &str, expected: i64) -> Result<(), String> {
        let since = Instant::now();
        let mut client = self.client("postgres").map_err(|cause| cause.to_string())?;
        while since.elapsed() < READY_MAX {
            let row = client.query_one(sql, &[]).map_err(|cause| format!("{sql}: {cause}"))?;
            if row.get::<_, i64>(0) == expected {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("{sql}: never {expected}"))
    }

    /// Makes an empty database and returns its address.
    ///
    /// # Panics
    /// When the cluster does not do it.
    pub fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        let mut client = self.client("postgres").expect("the cluster answers");
        client.batch_execute(&format!("create database {name}")).expect("a superuser may do so");
        self.address(&name)
    }

    /// Where a database of this cluster is. Good for every client of PostgreSQL.
    pub fn address(&self, database: &str) -> String {
        let folder = self.folder.to_string_lossy().replace('/', "%2F");
        format!("postgres://{USER}@{folder}:{}/{database}", self.port)
    }

    /// Where a database of a cluster that can be reached is, by a name of this machine.
    pub fn address_at(&self, host: &str, database: &str) -> String {
        format!("postgres://{USER}@{host}:{}/{database}", self.port)
    }

    /// Where it keeps its data and its socket.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The socket that clients connect to.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(format!(".s.PGSQL.{}", self.port))
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        let log = fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// A client of one of its databases, as the superuser.
    pub fn client(&self, database: &str) -> Result<Client, postgres::Error> {
        let mut config = Config::new();
        config.host_path(&self.folder).port(self.port).user(USER).dbname(database);
        config.connect(NoTls)
    }

    /// Stops the server. Its keeper does so before it does anything else.
    pub fn stop(&self, how: Stop) {
        self.tell(match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
            Stop::Kill => "kill",
        });
    }

    /// Starts the server again after [`Cluster::stop`], and does not wait for it.
    pub fn start_again(&self) {
        self.tell("start");
    }

    /// Waits until it answers.
    pub fn wait_until_ready(&self) -> Result<(), String> {
        let since = Instant::now();
        loop {
            match self.client("postgres") {
                Ok(_) => return Ok(()),
                Err(cause) if since.elapsed() > READY_MAX => {
                    return Err(format!("PostgreSQL does not answer: {cause}\n{}", self.log()));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn tell(&self, word: &str) {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let pipe = keeper.stdin.as_mut().expect("it was made with a pipe");
        writeln!(pipe, "{word}").expect("the keeper lives as long as its owner");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(keeper.stdin.take());
        if let Err(cause) = keeper.wait() {
            eprintln!("the cluster's keeper: {cause}");
        }
    }
}

/// An empty folder of the user that the server runs as.
fn own_folder(user: Option<(u32, u32)>) -> Result<PathBuf, String> {
    let folder = tempfile::Builder::new().prefix("requite-pg-").tempdir();
    let folder = folder.map_err(|cause| format!("no folder: {cause}"))?.keep();
    if let Some((uid, gid)) = user {
        chown(&folder, Some(uid), Some(gid)).map_err(|cause| format!("no folder: {cause}"))?;
    }
    Ok(folder)
}

/// The folder with PostgreSQL's programs: of `PATH`, or Debian's newest.
fn programs() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut debian: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    debian.sort();
    folders.extend(debian.into_iter().rev().map(|(_, folder)| folder));
    let found = folders
        .into_iter()
        .find(|folder| ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file()));
    found
        .ok_or_else(|| "no initdb and postgres: install PostgreSQL (Debian: postgresql)".to_owned())
}

/// Whom to be instead of root: user and group. `None`: we are not root.
fn other_user() -> Result<Option<(u32, u32)>, String> {
    use std::os::unix::fs::MetadataExt as _;
    let own = fs::metadata("/proc/self").map_err(|cause| format!("who am I: {cause}"))?;
    if own.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(|cause| format!("no users: {cause}"))?;
    let find = |name: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then_some(())?;
            let uid = fields.nth(1)?.parse().ok()?;
            Some((uid, fields.next()?.parse().ok()?))
        })
    };
    let other = find("postgres").or_else(|| find("nobody"));
    other
        .map(Some)
        .ok_or_else(|| "PostgreSQL does not run as root, and there is no other user".into())
}

/// A file that only its owner may read, as keys must be.
fn place(path: &Path, text: &str, owner: Option<(u32, u32)>) -> std::io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    owner.map_or(Ok(()), |(uid, gid)| chown(path, Some(uid), Some(gid)))
}

fn as_user(program: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}
