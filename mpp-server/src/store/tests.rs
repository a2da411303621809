//! What a store promises, on every database.

use std::task::Poll;

use futures_util::future::join_all;
use futures_util::poll;

use super::*;
use crate::testing::{Database, databases};

const INSERT: &str = "INSERT INTO things (name) VALUES ($1)";

/// Plays a story on every database, with a table `things` in it.
fn on_each(story: impl AsyncFn(&Database, Store)) {
    for database in databases().unwrap() {
        play(&database, &story);
    }
}

fn play(database: &Database, story: &impl AsyncFn(&Database, Store)) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&database.url).unwrap();
        change(&store, "CREATE TABLE things (name TEXT NOT NULL PRIMARY KEY, size BIGINT)").await.unwrap();
        story(database, store).await;
    });
}

/// Only on PostgreSQL, if it is here.
fn on_postgres(story: impl AsyncFn(&Database, Store)) {
    for database in databases().unwrap().iter().filter(|database| database.url.starts_with("postgres")) {
        play(database, &story);
    }
}

async fn change(store: &Store, sql: &'static str) -> Result<u64, StoreError> {
    store.write(move |tx| tx.execute(sql, &[])).await
}

async fn insert(store: &Store, name: impl ToString) -> Result<u64, StoreError> {
    let name = name.to_string();
    store.write(move |tx| tx.execute(INSERT, &[(&name).into()])).await
}

async fn count(store: &Store) -> u64 {
    let count = store.read(|tx| tx.query_one("SELECT COUNT(*) FROM things", &[])?.unwrap().unsigned());
    count.await.unwrap()
}

#[test]
fn a_job_that_fails_is_undone_alone() {
    #[derive(Debug, PartialEq)]
    struct No;
    impl From<StoreError> for No {
        fn from(error: StoreError) -> Self {
            panic!("{error}");
        }
    }
    on_each(async |_, store| {
        let jobs = (0..60).map(|number| {
            store.write(move |tx| {
                tx.execute(INSERT, &[(&number.to_string()).into()])?;
                if number % 3 == 0 { Err(No) } else { Ok(number) }
            })
        });
        for (number, answer) in join_all(jobs).await.into_iter().enumerate() {
            assert_eq!(answer, if number % 3 == 0 { Err(No) } else { Ok(number) });
        }
        assert_eq!(count(&store).await, 40);
    });
}

#[test]
fn a_panic_is_an_answer_and_the_store_goes_on() {
    on_each(async |_, store| {
        let panicking = store.write(|tx| -> Result<(), StoreError> {
            tx.execute(INSERT, &["lost".into()])?;
            panic!("on purpose");
        });
        assert_eq!(panicking.await, Err(StoreError::Panicked));
        assert_eq!(insert(&store, "kept").await, Ok(1));
        assert_eq!(count(&store).await, 1);
    });
}

#[test]
fn a_statement_that_fails_fails_its_job_whatever_the_job_makes_of_it() {
    on_each(async |_, store| {
        let job = store.write(|tx| {
            tx.execute(INSERT, &["lost".into()])?;
            drop(tx.execute("INSERT INTO nowhere VALUES (1)", &[]));
            Ok::<_, StoreError>(())
        });
        assert!(matches!(job.await, Err(StoreError::Statement { .. })));
        assert_eq!(count(&store).await, 0);
        assert_eq!(insert(&store, "kept").await, Ok(1));
    });
}

#[test]
fn a_taken_key_is_a_conflict_and_a_number_too_large_is_refused() {
    on_each(async |_, store| {
        assert_eq!(insert(&store, "one").await, Ok(1));
        assert_eq!(insert(&store, "one").await, Err(StoreError::Conflict));
        let job = store.write(|tx| tx.execute("UPDATE things SET size = $1", &[u64::MAX.into()]));
        assert_eq!(job.await, Err(StoreError::Range));
        assert_eq!(count(&store).await, 1);
    });
}

#[test]
fn two_stores_on_one_database_lose_no_update() {
    on_each(async |database, store| {
        insert(&store, "shared").await.unwrap();
        change(&store, "UPDATE things SET size = 0").await.unwrap();
        let other = Store::open(&database.url).unwrap();
        let add = |store: &Store| {
            let store = store.clone();
            async move {
                let added = store.write(|tx| {
                    let row = tx.query_one("SELECT size FROM things WHERE name = $1 FOR UPDATE", &["shared".into()])?;
                    let size = row.unwrap().int()? + 1;
                    tx.execute("UPDATE things SET size = $1 WHERE name = $2", &[size.into(), "shared".into()])
                });
                added.await.unwrap()
            }
        };
        join_all((0..100).map(|number| add(if number % 2 == 0 { &store } else { &other }))).await;
        let size = store.read(|tx| tx.query_one("SELECT size FROM things", &[])?.unwrap().int());
        assert_eq!(size.await, Ok(100));
    });
}

#[test]
fn readers_cannot_write() {
    on_each(async |_, store| {
        let job = store.read(|tx| tx.execute(INSERT, &["lost".into()]));
        assert_eq!(job.await, Err(StoreError::ReadOnly));
        assert_eq!(count(&store).await, 0);
    });
}

#[test]
fn closing_does_what_waits_and_takes_no_more() {
    on_each(async |database, store| {
        let mut jobs: Vec<_> = (0..100).map(|number| Box::pin(insert(&store, number))).collect();
        for job in &mut jobs {
            let state: Poll<_> = poll!(job.as_mut());
            assert!(!matches!(state, Poll::Ready(Err(_))));
        }
        store.close();
        for job in jobs {
            // Those that were done at once have answered already.
            drop(job);
        }
        assert_eq!(insert(&store, "late").await, Err(StoreError::Closed));
        assert_eq!(count(&Store::open(&database.url).unwrap()).await, 100);
    });
}

#[test]
fn too_many_jobs_are_refused_at_once() {
    for database in databases().unwrap() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let config = StoreConfig { writers: 1, waiting: 3, ..StoreConfig::default() };
            let store = Store::open_with(&database.url, &config).unwrap();
            let (blocked, release) = std::sync::mpsc::channel::<()>();
            let release = std::sync::Mutex::new(release);
            let mut first =
                Box::pin(store.write(move |_| release.lock().unwrap().recv().map_err(|_| StoreError::Closed)));
            assert!(poll!(first.as_mut()).is_pending());
            let jobs = (0..20).map(|_| store.write(|_| Ok::<_, StoreError>(())));
            let mut jobs: Vec<_> = jobs.map(Box::pin).collect();
            let mut busy = 0;
            for job in &mut jobs {
                busy += usize::from(poll!(job.as_mut()) == Poll::Ready(Err(StoreError::Busy)));
            }
            // The first may have been taken, or wait still.
            assert!((17..=18).contains(&busy), "{busy}");
            blocked.send(()).unwrap();
            assert_eq!(first.await, Ok(()));
        });
    }
}

#[test]
fn many_may_open_a_new_database_at_once() {
    for database in databases().unwrap() {
        let open = || {
            std::thread::spawn({
                let url = database.url.clone();
                move || Store::open(&url).map(drop)
            })
        };
        let opened: Vec<_> = (0..4).map(|_| open()).collect();
        for opened in opened {
            assert_eq!(opened.join().unwrap(), Ok(()));
        }
    }
}

#[test]
fn a_newer_schema_is_refused_untouched() {
    on_each(async |database, store| {
        let count = async || {
            let rows = store.read(|tx| tx.query_one("SELECT COUNT(*) FROM schema_migrations", &[])?.unwrap().int());
            rows.await.unwrap()
        };
        let known = count().await;
        change(&store, "INSERT INTO schema_migrations (version, checksum) VALUES (9, 'x')").await.unwrap();
        let refused = Store::open(&database.url).unwrap_err();
        assert!(matches!(refused, StoreError::NewerSchema { found: 9, .. }), "{refused}");
        assert_eq!(count().await, known + 1);
    });
}

#[test]
fn a_migration_that_was_changed_is_refused() {
    on_each(async |database, store| {
        change(&store, "UPDATE schema_migrations SET checksum = 'x'").await.unwrap();
        assert_eq!(Store::open(&database.url).unwrap_err(), StoreError::ChangedMigration { version: 1 });
    });
}

#[test]
fn addresses_say_what_is_wrong_and_not_what_they_are() {
    let wrong = ["", "mpp.db", "sqlite:", "mysql://secret@host/db", "postgres://secret@host:no/db"];
    for url in wrong {
        let error = Store::open(url).unwrap_err();
        assert!(matches!(error, StoreError::Address { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[test]
fn another_machine_is_spoken_to_by_tls_unless_the_address_says_otherwise() {
    let tls = |place: &str| {
        let config = postgres::parse(&format!("postgres://mpp:secret@{place}")).unwrap();
        config.get_ssl_mode() != tokio_postgres::config::SslMode::Disable
    };
    for far in ["db.example/mpp", "localhost,db.example/mpp", "10.0.0.7/mpp", "db.example/mpp?sslmode=prefer"] {
        assert!(tls(far), "{far}");
    }
    assert!(tls("localhost/mpp?hostaddr=10.0.0.7"));
    assert!(tls("localhost/mpp?sslmode=require"));
    for near in ["localhost/mpp", "127.0.0.1:5433/mpp", "[::1]/mpp", "%2Fvar%2Frun%2Fpostgresql/mpp"] {
        assert!(!tls(near), "{near}");
    }
    assert!(!tls("db.example/mpp?sslmode=disable"));
}

#[test]
fn an_address_is_described_without_its_password() {
    let described = Store::describe("postgres://mpp:secret@db.example,10.0.0.7:5433/payments?sslmode=require");
    assert_eq!(described, "PostgreSQL's database payments at db.example:5432, 10.0.0.7:5433");
    assert_eq!(Store::describe("sqlite:mpp.db"), "sqlite:mpp.db");
}

#[test]
fn a_file_that_is_no_database_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mpp.db");
    std::fs::write(&path, [0x5A; 4096]).unwrap();
    assert_eq!(Store::open(&format!("sqlite:{}", path.display())).unwrap_err(), StoreError::Corrupt);
    assert_eq!(std::fs::read(&path).unwrap(), [0x5A; 4096]);
}

/// Two connections of one store, and both see that a file is not theirs any more.
#[cfg(unix)]
#[test]
fn nothing_is_written_to_a_file_that_was_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mpp.db");
    let database = Database::at(&path);
    play(&database, &async |_, store| {
        insert(&store, "before").await.unwrap();
        let aside = folder.path().join("aside.db");
        std::fs::rename(&path, &aside).unwrap();
        assert_eq!(insert(&store, "while it was away").await, Err(StoreError::Gone));
        assert_eq!(store.read(|tx| tx.query_one("SELECT 1", &[]).map(drop)).await, Err(StoreError::Gone));
        std::fs::write(&path, "another file").unwrap();
        assert_eq!(insert(&store, "beside another").await, Err(StoreError::Gone));
        std::fs::rename(&aside, &path).unwrap();
        assert_eq!(count(&store).await, 1);
        insert(&store, "after").await.unwrap();
    });
}

#[cfg(unix)]
#[test]
fn a_new_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    play(&Database::at(&folder.path().join("mpp.db")), &async |_, _| {
        for name in ["mpp.db", "mpp.db-wal"] {
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    });
}

#[test]
fn a_folder_that_is_not_there_is_no_failing_disk() {
    let error = Store::open("sqlite:/no/such/folder/mpp.db").unwrap_err();
    assert!(error.to_string().contains("is the folder there"), "{error}");
}

#[test]
fn a_database_that_is_not_there_is_no_bug_in_a_statement() {
    on_postgres(async |database, _| {
        let (server, _) = database.url.rsplit_once('/').unwrap();
        let error = Store::open(&format!("{server}/nowhere")).unwrap_err();
        assert!(error.to_string().contains("no such database"), "{error}");
        let error = Store::open(&database.url.replace("mpp@", "nobody@")).unwrap_err();
        assert!(error.to_string().contains("wrong user or password"), "{error}");
    });
}

#[test]
fn a_broken_connection_is_made_again() {
    on_postgres(async |_, store| {
        insert(&store, "before").await.unwrap();
        let others = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        change(&store, others).await.unwrap();
        for number in 0..40 {
            assert_eq!(insert(&store, number).await, Ok(1));
        }
        assert_eq!(count(&store).await, 41);
    });
}

/// Makes each commit that inserts a thing run `what`.
async fn at_commit(store: &Store, what: &'static str) {
    change(store, what).await.unwrap();
    let trigger = "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON things DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION at_commit()";
    change(store, trigger).await.unwrap();
}

#[test]
fn a_commit_without_an_answer_is_unknown() {
    on_postgres(async |_, store| {
        let end = "CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'";
        at_commit(&store, end).await;
        assert_eq!(insert(&store, "who knows").await, Err(StoreError::Unknown));
        assert_eq!(count(&store).await, 0);
    });
}

#[test]
fn a_commit_that_is_refused_is_known() {
    on_postgres(async |_, store| {
        let refuse = "CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN RAISE EXCEPTION ''no''; END'";
        at_commit(&store, refuse).await;
        assert_eq!(insert(&store, "no").await, Err(StoreError::Statement { code: "P0001".to_owned() }));
        assert_eq!(count(&store).await, 0);
    });
}
