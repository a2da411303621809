//! A PostgreSQL server for one test program, on loopback, with fsync on.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the programs are, if not in the usual places.
const BIN_VARIABLE: &str = "MPP_TEST_POSTGRES_BIN";
/// Where Debian keeps them, one folder a version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// PostgreSQL does not run as root.
const OTHER_USERS: [&str; 2] = ["postgres", "nobody"];
/// Runs the server as long as standard input is open: it is, until this process ends, however it ends.
const WATCH: &str = "\"$@\" & server=$!; cat > /dev/null; kill -QUIT $server; wait $server; rm -rf \"$FOLDER\"";
const START_LIMIT: Duration = Duration::from_secs(60);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// There are no programs of PostgreSQL.
    #[error("no PostgreSQL here: set {BIN_VARIABLE}, or install it (Debian: apt-get install postgresql)")]
    Missing,
    /// Root without another user to run it as.
    #[error("PostgreSQL does not run as root, and there is no other user")]
    Root,
    /// A program failed.
    #[error("{0} failed")]
    Failed(&'static str),
    /// It did not answer in time.
    #[error("the server does not answer")]
    Silent,
    /// A file, a port or a process.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A server that ends, and whose data is gone, when this is dropped or this process ends.
#[derive(Debug)]
pub struct ThrowAwayPostgres {
    watch: Child,
    port: u16,
}

impl ThrowAwayPostgres {
    /// Makes a cluster in a temporary folder and starts it.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub fn start() -> Result<Self, PostgresError> {
        Self::launch(None)
    }

    /// As [`Self::start`], with TLS for who asks for it: a certificate and its key, as PEM.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub fn start_with_tls(certificate: &str, key: &str) -> Result<Self, PostgresError> {
        Self::launch(Some([("server.crt", certificate), ("server.key", key)]))
    }

    fn launch(tls: Option<[(&str, &str); 2]>) -> Result<Self, PostgresError> {
        let programs = find_programs().ok_or(PostgresError::Missing)?;
        let folder = tempfile::Builder::new().prefix("mpp-postgres-").tempdir()?;
        let user = other_user()?;
        if let Some(user) = &user {
            chown(folder.path(), Some(user.uid), Some(user.gid))?;
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700))?;
        }
        let data = folder.path().join("data");
        let mut initdb = user_command(user.as_ref(), &programs.join("initdb"), folder.path());
        initdb.args(["--username=mpp", "--auth=trust", "--encoding=UTF8", "--no-locale", "--pgdata"]).arg(&data);
        if !initdb.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success() {
            return Err(PostgresError::Failed("initdb"));
        }
        for (name, pem) in tls.iter().flatten() {
            let file = data.join(name);
            std::fs::write(&file, pem)?;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
            if let Some(user) = &user {
                chown(&file, Some(user.uid), Some(user.gid))?;
            }
        }
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut watch = user_command(user.as_ref(), Path::new("sh"), folder.path());
        watch.args(["-c", WATCH, "sh"]).arg(programs.join("postgres")).env("FOLDER", folder.path());
        watch.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-k", "", "-p", &port.to_string()]);
        watch.args(["-c", "fsync=on", "-c", "max_connections=400"]);
        watch.args(["-c", if tls.is_some() { "ssl=on" } else { "ssl=off" }]);
        let watch = watch.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        // From here on the folder is the watcher's.
        drop(folder.keep());
        let server = Self { watch, port };
        server.wait_until_ready(&programs)?;
        Ok(server)
    }

    /// Its address, of a user who may do everything, without a database: `postgres://mpp@127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://mpp@127.0.0.1:{}", self.port)
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    fn wait_until_ready(&self, programs: &Path) -> Result<(), PostgresError> {
        let began = Instant::now();
        while began.elapsed() < START_LIMIT {
            let mut ready = Command::new(programs.join("pg_isready"));
            ready.args(["-q", "-h", "127.0.0.1", "-U", "mpp", "-p", &self.port.to_string()]);
            if ready.status()?.success() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(PostgresError::Silent)
    }
}

impl Drop for ThrowAwayPostgres {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        drop(self.watch.wait());
    }
}

fn find_programs() -> Option<PathBuf> {
    let given = std::env::var_os(BIN_VARIABLE).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<_> =
        std::fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|version| version.path().join("bin")).collect();
    debian.sort();
    let mut places = given.into_iter().chain(std::env::split_paths(&path)).chain(debian.into_iter().rev());
    places.find(|place| ["initdb", "postgres", "pg_isready"].iter().all(|program| place.join(program).exists()))
}

struct OtherUser {
    uid: u32,
    gid: u32,
}

/// `None` if this process may run the server itself.
fn other_user() -> Result<Option<OtherUser>, PostgresError> {
    use std::os::unix::fs::MetadataExt;
    // The owner of a new file is who runs this.
    if tempfile::tempfile()?.metadata()?.uid() != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some(OtherUser { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    };
    OTHER_USERS.into_iter().find_map(ids).map(Some).ok_or(PostgresError::Root)
}

fn user_command(user: Option<&OtherUser>, program: &Path, folder: &Path) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    command.current_dir(folder).env("LC_ALL", "C").stdin(Stdio::null());
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}
