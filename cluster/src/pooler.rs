//! PgBouncer in front of a cluster: hands out connections by transaction, fewer than its clients have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

use postgres::{Config, NoTls};

use crate::{Cluster, READY_MAX, USER, as_user, other_user};

/// Connections to each database that it opens at most.
pub const POOL_MAX: usize = 4;

/// A running PgBouncer. Dropping it ends it; what is asked through it then is away.
pub struct Pooler {
    folder: PathBuf,
    child: Child,
}

impl Pooler {
    /// Starts one in front of `cluster`, by transaction.
    pub fn start(cluster: &Cluster) -> Result<Pooler, String> {
        let folder = cluster.folder.join("pooler");
        fs::create_dir(&folder).map_err(|cause| format!("no folder: {cause}"))?;
        let user = other_user()?;
        if let Some((uid, gid)) = user {
            let owned = std::os::unix::fs::chown(&folder, Some(uid), Some(gid));
            owned.map_err(|cause| format!("no folder: {cause}"))?;
        }
        let settings = folder.join("settings.ini");
        let (there, here) = (cluster.folder.display(), folder.display());
        let text = format!(
            "[databases]\n* = host={there} user={USER}\n[pgbouncer]\nlisten_addr =\n\
             unix_socket_dir = {here}\nlisten_port = 5432\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = {POOL_MAX}\nmax_client_conn = 200\n\
             logfile = {here}/log\nstats_users = {USER}\nadmin_users = {USER}\n"
        );
        fs::write(&settings, text).map_err(|cause| format!("no settings: {cause}"))?;
        let mut command = as_user(Path::new(program()?), user);
        command.arg(&settings).current_dir(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|cause| format!("no pgbouncer: {cause}"))?;
        let pooler = Pooler { folder, child };
        pooler.wait_until_ready()?;
        Ok(pooler)
    }

    /// The same database as at `address`, through it.
    ///
    /// # Panics
    /// When `address` names none.
    pub fn address(&self, address: &str) -> String {
        let database = address.rsplit('/').next().expect("an address ends with its database");
        let folder = self.folder.to_string_lossy().replace('/', "%2F");
        format!("postgres://{USER}@{folder}/{database}")
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        let since = Instant::now();
        loop {
            let mut config = Config::new();
            config.host_path(&self.folder).user(USER).dbname("postgres");
            match config.connect(NoTls).and_then(|mut client| client.simple_query("select 1")) {
                Ok(_) => return Ok(()),
                Err(cause) if since.elapsed() > READY_MAX => {
                    let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                    return Err(format!("PgBouncer does not answer: {cause}\n{log}"));
                }
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // Already ended is as good as killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Debian has it where only root's `PATH` looks.
fn program() -> Result<&'static str, String> {
    let places = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];
    let found = places.into_iter().find(|place| Path::new(place).is_file());
    found.ok_or_else(|| "no pgbouncer: install it (Debian: pgbouncer)".to_owned())
}
