//! The outbox against carriers that misbehave.

use std::sync::Mutex;

use tokio::sync::mpsc;

use super::*;
use crate::effect::EffectBody;

/// Hands every attempt to the test, which says how it ends.
struct Puppet {
    calls: mpsc::UnboundedSender<(String, bool, tokio::sync::oneshot::Sender<Settlement>)>,
    under_way: Mutex<usize>,
}

impl Carrier for Puppet {
    async fn settle(&self, effect: &Effect, after_unknown: bool) -> Settlement {
        let (end, ended) = tokio::sync::oneshot::channel();
        *self.under_way.lock().expect("lock") += 1;
        self.calls.send((effect.key.clone(), after_unknown, end)).expect("the test listens");
        let settlement = ended.await.unwrap_or(Settlement::Retry { why: "the test went away".to_owned() });
        *self.under_way.lock().expect("lock") -= 1;
        settlement
    }
}

type Calls = mpsc::UnboundedReceiver<(String, bool, tokio::sync::oneshot::Sender<Settlement>)>;

fn fleet() -> FleetId {
    "north".parse().expect("a name")
}

fn effect(key: &str, shipment: &str) -> Effect {
    let json = format!(r#"{{"client_ref":"c","stop":"S","shipment":"{shipment}","outcome":"completed","revision":1}}"#);
    let pod = serde_json::from_str(&json).expect("a proof");
    let body = EffectBody::Pod { pod: Box::new(pod), record: "r".to_owned() };
    Effect { key: key.to_owned(), shipment: shipment.to_owned(), body }
}

async fn owe(store: &Store, effects: &[(&str, &str)]) {
    let effects: Vec<Effect> = effects.iter().map(|(key, shipment)| effect(key, shipment)).collect();
    let put = move |connection: &rusqlite::Connection| {
        effects.iter().try_for_each(|effect| outbox::put(connection, &fleet(), effect, clock::now()))
    };
    store.write(put).await.expect("owed");
}

async fn states(store: &Store) -> Vec<(String, String)> {
    let read = |connection: &rusqlite::Connection| {
        let mut statement = connection.prepare("SELECT effect_key, state FROM outbox ORDER BY position")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    store.read(read).await.expect("read")
}

/// Waits for commits until the rows stand as `expected`.
async fn until(store: &Store, expected: &[(&str, &str)]) {
    let mut commits = store.commits();
    let expected: Vec<(String, String)> =
        expected.iter().map(|(key, state)| ((*key).to_owned(), (*state).to_owned())).collect();
    let reached = async {
        while states(store).await != expected {
            commits.changed().await.expect("the writer runs");
        }
    };
    if tokio::time::timeout(Duration::from_secs(20), reached).await.is_err() {
        panic!("{:?}, not {expected:?}", states(store).await);
    }
}

fn start(store: &Store) -> (Arc<Puppet>, Calls, CancellationToken, tokio::task::JoinHandle<()>) {
    let (calls, called) = mpsc::unbounded_channel();
    let puppet = Arc::new(Puppet { calls, under_way: Mutex::new(0) });
    let outbox = Outbox {
        store: store.clone(),
        fleet_id: fleet(),
        carrier: Arc::clone(&puppet),
        policy: Policy::default(),
        metrics: Metrics::new(),
    };
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(outbox.run(shutdown.clone()));
    (puppet, called, shutdown, task)
}

fn open(folder: &tempfile::TempDir) -> Store {
    Store::open(&folder.path().join("gateway.sqlite")).expect("opens")
}

fn done() -> Settlement {
    Settlement::Done { reference: "mail.message,1".to_owned() }
}

#[tokio::test]
async fn effects_of_a_shipment_go_one_after_the_other_and_others_beside_them() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(&folder);
    owe(&store, &[("a1", "A"), ("a2", "A"), ("b1", "B")]).await;
    let (_, mut called, shutdown, task) = start(&store);
    let (first, _, end_first) = called.recv().await.expect("called");
    let (second, _, end_second) = called.recv().await.expect("called");
    assert_eq!([first.as_str(), second.as_str()], ["a1", "b1"]);
    until(&store, &[("a1", "sending"), ("a2", "pending"), ("b1", "sending")]).await;
    end_first.send(done()).expect("waits");
    let (third, _, end_third) = called.recv().await.expect("called");
    assert_eq!(third, "a2");
    end_second.send(Settlement::Park { why: "no such picking".to_owned() }).expect("waits");
    end_third.send(done()).expect("waits");
    until(&store, &[("a1", "done"), ("a2", "done"), ("b1", "parked")]).await;
    shutdown.cancel();
    task.await.expect("ends");
    let cases = store.read(|connection| case::open_by_kind(connection, &fleet())).await.expect("read");
    assert_eq!(cases, [("parked_effect".to_owned(), 1)]);
}

#[tokio::test]
async fn after_a_crash_an_attempt_is_unknown_and_waits_for_the_request_limit() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(&folder);
    owe(&store, &[("a1", "A")]).await;
    let (_, mut called, _shutdown, task) = start(&store);
    let (_, after_unknown, _end) = called.recv().await.expect("called");
    assert!(!after_unknown);
    task.abort();
    assert!(task.await.is_err_and(|error| error.is_cancelled()), "the crash");
    until(&store, &[("a1", "sending")]).await;

    let (puppet, mut called, shutdown, task) = start(&store);
    until(&store, &[("a1", "unknown")]).await;
    assert_eq!(*puppet.under_way.lock().expect("lock"), 0);
    assert!(called.try_recv().is_err(), "nobody is asked before the limit");
    let heads = store.read(|connection| outbox::heads(connection, &fleet(), 9)).await.expect("read");
    let wait_ms = heads[0].next_at.millis_since(clock::now());
    assert!((110_000..=120_000).contains(&wait_ms), "{wait_ms} ms");
    shutdown.cancel();
    task.await.expect("ends");

    let pass = |connection: &rusqlite::Connection| Ok(connection.execute("UPDATE outbox SET next_at = 0", [])?);
    store.write(pass).await.expect("the limit passes");
    let (_, mut called, shutdown, task) = start(&store);
    let (_, after_unknown, end) = called.recv().await.expect("called");
    assert!(after_unknown, "the carrier is told to ask first");
    end.send(done()).expect("waits");
    until(&store, &[("a1", "done")]).await;
    shutdown.cancel();
    task.await.expect("ends");
}

/// Found by a simulated world: an attempt searches before it writes, so its write may have begun long after the attempt.
#[tokio::test]
async fn what_was_broken_off_waits_from_when_nobody_sends_it_any_more() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(&folder);
    owe(&store, &[("a1", "A")]).await;
    let found_at = clock::now();
    let recover = move |connection: &rusqlite::Connection| {
        outbox::begin(connection, &fleet(), 1, found_at.plus_millis(-100_000))?;
        outbox::recover(connection, &fleet(), found_at, 120_000)
    };
    assert_eq!(store.write(recover).await.expect("written"), 1);
    let heads = store.read(|connection| outbox::heads(connection, &fleet(), 9)).await.expect("read");
    assert_eq!((heads[0].state, heads[0].next_at), (State::Unknown, found_at.plus_millis(120_000)));
}

/// A full disk, say: the carrier has done it, but that could not be written down.
#[tokio::test]
async fn an_ending_that_could_not_be_kept_is_asked_about_without_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(&folder);
    owe(&store, &[("a1", "A")]).await;
    let refuse = "CREATE TRIGGER full BEFORE UPDATE ON outbox WHEN new.state = 'done'
        BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    store.write(move |connection| Ok(connection.execute_batch(refuse)?)).await.expect("the disk fills up");
    let (_, mut called, shutdown, task) = start(&store);
    let (_, _, end) = called.recv().await.expect("called");
    end.send(done()).expect("waits");
    until(&store, &[("a1", "unknown")]).await;
    shutdown.cancel();
    task.await.expect("ends");
}

#[tokio::test]
async fn a_clock_that_is_set_back_leaves_no_effect_waiting_for_its_old_time() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(&folder);
    let a_year_on = clock::now().plus_millis(365 * 24 * 60 * 60 * 1000);
    let put = move |connection: &rusqlite::Connection| outbox::put(connection, &fleet(), &effect("a1", "A"), a_year_on);
    store.write(put).await.expect("owed");
    let (_, _called, shutdown, task) = start(&store);
    let latest = || clock::now().plus_millis(Policy::default().wait_ms_max());
    let next_at =
        async || store.read(|connection| outbox::heads(connection, &fleet(), 9)).await.expect("read")[0].next_at;
    let mut commits = store.commits();
    let brought_forward = async {
        while next_at().await > latest() {
            commits.changed().await.expect("the writer runs");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), brought_forward).await.expect("within the longest wait");
    shutdown.cancel();
    task.await.expect("ends");
}

#[tokio::test]
async fn an_effect_that_waits_for_a_person_is_asked_about_first_when_it_is_tried_again() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(&folder);
    owe(&store, &[("a1", "A")]).await;
    let (_, mut called, shutdown, task) = start(&store);
    let (_, _, end) = called.recv().await.expect("called");
    end.send(Settlement::Park { why: "no such picking".to_owned() }).expect("waits");
    until(&store, &[("a1", "parked")]).await;
    let release =
        |key| move |connection: &rusqlite::Connection| outbox::release(connection, &fleet(), key, clock::now());
    assert!(!store.write(release("b1")).await.expect("written"), "nobody waits under that name");
    assert!(store.write(release("a1")).await.expect("written"));
    let (_, after_unknown, end) = called.recv().await.expect("called");
    assert!(after_unknown);
    end.send(done()).expect("waits");
    until(&store, &[("a1", "done")]).await;
    shutdown.cancel();
    task.await.expect("ends");
}
