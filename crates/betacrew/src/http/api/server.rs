//! HTTP thread. It limits the number of clients, and the time and memory that each may take.

use crate::http::api::answer::{App, full, router};
use crate::http::state::chart_history;
use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Maximum number of clients; more get 503.
const CLIENTS_MAX: usize = 128;
/// Maximum number of clients that listen to events. The difference to [`CLIENTS_MAX`] is reserved
/// for other requests.
pub(crate) const LISTENERS_MAX: usize = 96;
/// Maximum number of clients above the limit that get an answer (503) at the same time.
const TURNED_AWAY_MAX: usize = 32;
/// Size of a connection's buffers, in bytes: for a request's head, and for answers that a client
/// has not read yet.
const BUFFER: usize = crate::http::api::guard::HEAD_MAX;
/// Maximum number of unsent bytes that the system keeps for a client. A small value shows early
/// that a client does not read.
const UNSENT_MAX: u32 = 16 * 1024;
/// Time after which a request's head must have arrived. Also the pause between two requests on a
/// connection: browsers use one again that was idle for seconds.
const HEAD_TIMEOUT: Duration = STUCK;
/// Time without progress after which a client is disconnected. It neither asks nor reads.
const STUCK: Duration = Duration::from_secs(15);
/// Time without progress after which a client is disconnected if another needs its slot. Longer
/// than the loop may take to answer, because a client that waits for the loop makes no progress.
const STUCK_IF_FULL: Duration = Duration::from_secs(4);
/// Pause after the system has refused to accept a connection (no file descriptor, for example).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connected client.
#[derive(Debug)]
struct HttpClient {
    /// Time of the connection's last request, or of the last event that its socket took.
    progress: Instant,
    /// True if the connection listens to events.
    listens: bool,
    /// Handle that ends the connection's task.
    task: Option<AbortHandle>,
}

/// Connected clients, by id.
#[derive(Debug, Default)]
struct HttpClients {
    by_id: HashMap<u64, HttpClient>,
    admitted: u64,
}

impl HttpClients {
    /// Disconnects the client among `which` that has made no progress for longest, if that is at
    /// least [`STUCK_IF_FULL`]. Returns whether there was one.
    fn evict(&mut self, which: impl Fn(&HttpClient) -> bool) -> bool {
        let found = self.by_id.iter().filter(|(_, client)| which(client));
        let longest = found.min_by_key(|(_, client)| client.progress);
        let stuck = longest.filter(|(_, client)| client.progress.elapsed() >= STUCK_IF_FULL);
        let Some(id) = stuck.map(|(id, _)| *id) else { return false };
        if let Some(task) = self.by_id.remove(&id).and_then(|client| client.task) {
            task.abort();
        }
        true
    }
}

/// Slots for clients, at most [`CLIENTS_MAX`].
#[derive(Clone, Debug, Default)]
struct ClientSlots(Arc<Mutex<HttpClients>>);

impl ClientSlots {
    fn clients(&self) -> MutexGuard<'_, HttpClients> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a slot for another client, if one is free or can be freed.
    fn admit(&self) -> Option<ClientSlot> {
        let mut clients = self.clients();
        if clients.by_id.len() >= CLIENTS_MAX && !clients.evict(|_| true) {
            return None;
        }
        clients.admitted += 1;
        let id = clients.admitted;
        clients
            .by_id
            .insert(id, HttpClient { progress: Instant::now(), listens: false, task: None });
        Some(ClientSlot { slots: self.clone(), id })
    }
}

/// Slot of a client. Dropping it frees the slot.
#[derive(Debug)]
pub(crate) struct ClientSlot {
    slots: ClientSlots,
    id: u64,
}

impl ClientSlot {
    fn change(&self, change: impl FnOnce(&mut HttpClient)) {
        if let Some(client) = self.slots.clients().by_id.get_mut(&self.id) {
            change(client);
        }
    }

    /// Notes progress on the connection.
    pub(crate) fn note_progress(&self) {
        self.change(|client| client.progress = Instant::now());
    }

    /// Marks the client as one that listens to events. Returns false if there are too many of them.
    pub(crate) fn listen(&self) -> bool {
        let mut clients = self.slots.clients();
        let listening = clients.by_id.values().filter(|client| client.listens).count();
        if listening >= LISTENERS_MAX && !clients.evict(|client| client.listens) {
            return false;
        }
        if let Some(client) = clients.by_id.get_mut(&self.id) {
            client.listens = true;
        }
        true
    }

    /// Waits until the client has made no progress for [`STUCK`].
    async fn until_stuck(&self) {
        loop {
            let progress = self.slots.clients().by_id.get(&self.id).map(|client| client.progress);
            match progress.map(|progress| progress + STUCK) {
                Some(until) if until > Instant::now() => tokio::time::sleep_until(until).await,
                _ => return,
            }
        }
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        self.slots.clients().by_id.remove(&self.id);
    }
}

/// Starts the HTTP thread, which serves until the program ends.
///
/// # Errors
/// Returns the system's error if no thread or runtime can be started.
pub(crate) fn start(listeners: Vec<std::net::TcpListener>, app: Arc<App>) -> std::io::Result<()> {
    listeners.iter().try_for_each(|listener| listener.set_nonblocking(true))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serve = move || {
        runtime.block_on(async {
            tokio::spawn(chart_history::sample_forever(app.loop_handle.clone()));
            let (router, slots) = (router(app), ClientSlots::default());
            let listeners = listeners.into_iter().map(TcpListener::from_std);
            let accepting = listeners.map_while(Result::ok).map(|listener| {
                let (router, slots) = (router.clone(), slots.clone());
                tokio::spawn(async move { accept(listener, router, &slots).await })
            });
            for accepting_task in accepting.collect::<Vec<_>>() {
                let _ = accepting_task.await;
            }
        });
    };
    std::thread::Builder::new().name("http".to_owned()).spawn(serve)?;
    Ok(())
}

async fn accept(listener: TcpListener, router: Router, slots: &ClientSlots) {
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
    let full = full(CLIENTS_MAX);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if let Some(slot) = slots.admit() {
            let slot = Arc::new(slot);
            let task = tokio::spawn(connection(stream, router.clone(), Arc::clone(&slot)));
            slot.change(|client| client.task = Some(task.abort_handle()));
        } else if let Ok(permit) = Arc::clone(&turned_away).try_acquire_owned() {
            let full = full.clone();
            tokio::spawn(async move {
                let own_slots = ClientSlots::default();
                if let Some(slot) = own_slots.admit() {
                    connection(stream, full, Arc::new(slot)).await;
                }
                drop(permit);
            });
        }
        // Without a permit the connection is closed at once, because an answer takes memory, too.
    }
}

async fn connection(stream: TcpStream, router: Router, slot: Arc<ClientSlot>) {
    let _ = stream.set_nodelay(true);
    crate::net::limit_unsent(&stream, UNSENT_MAX);
    let router = TowerToHyperService::new(router);
    let client = Arc::clone(&slot);
    let service = service_fn(move |mut request: Request<Incoming>| {
        client.note_progress();
        request.extensions_mut().insert(Arc::clone(&client));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    // The future that ends first drops the other: a stuck client loses its connection.
    futures_util::future::select(std::pin::pin!(connection), std::pin::pin!(slot.until_stuck()))
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::routes::Role;
    use crate::http::control::loop_handle::LoopHandle;
    use crate::http::state::metrics::MetricsExtra;
    use crate::http::state::{Event, State};
    use std::io::{Read, Write};

    fn client_count(slots: &ClientSlots) -> usize {
        slots.clients().by_id.len()
    }

    /// Returns an app whose loop publishes a state of this many bytes whenever it is asked.
    fn app(bytes: usize) -> App {
        let loop_handle = LoopHandle::new(&crate::net::Stop::new(), "client");
        let published = loop_handle.clone();
        // The task ends with the test's runtime.
        tokio::spawn(async move {
            loop {
                if published.has_requests() {
                    drop(published.take_commands());
                    let event = Event { text: "x".repeat(bytes), ..Event::default() };
                    let state = State { events: vec![event], ..State::default() };
                    published.publish_snapshot(state, MetricsExtra::default());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        App { loop_handle, role: Role::Client, token: None }
    }

    /// Serves an app on a free port until the test's runtime ends.
    async fn serving(app: App) -> (std::net::SocketAddr, ClientSlots) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let slots = ClientSlots::default();
        let (router, at_work) = (router(Arc::new(app)), slots.clone());
        tokio::spawn(async move { accept(listener, router, &at_work).await });
        (address, slots)
    }

    fn ask(address: std::net::SocketAddr, path: &str) -> std::net::TcpStream {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .unwrap();
        stream
    }

    /// Returns a runtime whose clock jumps to the next timer whenever nothing else happens.
    fn paused_runtime() -> tokio::runtime::Runtime {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().unwrap()
    }

    #[test]
    fn a_body_that_does_not_arrive_is_answered_408() {
        paused_runtime().block_on(async {
            let (address, slots) = serving(App { role: Role::Exchange, ..app(1) }).await;
            let mut slow = std::net::TcpStream::connect(address).unwrap();
            let head = "POST /api/drop HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\
                        content-type: application/json\r\nconnection: close\r\n\r\n{";
            slow.write_all(head.as_bytes()).unwrap();
            while client_count(&slots) == 0 {
                tokio::task::yield_now().await;
            }
            let began = Instant::now();
            while client_count(&slots) > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                assert!(began.elapsed() < STUCK, "the client is still connected");
            }
            let mut answer = String::new();
            slow.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
            assert!(answer.contains("the body did not arrive"), "{answer}");
        });
    }

    #[test]
    fn a_listener_that_does_not_read_is_disconnected_and_delays_no_other_client() {
        paused_runtime().block_on(async {
            let (address, slots) = serving(app(1 << 20)).await;
            let mut stuck = ask(address, "/api/events");
            while client_count(&slots) == 0 {
                tokio::task::yield_now().await;
            }
            // The client makes progress until the system's buffers are full: some events, four a
            // second.
            let began = Instant::now();
            while client_count(&slots) > 0 {
                tokio::time::sleep(Duration::from_millis(500)).await;
                // The paused clock stands still during blocking work.
                let asked = tokio::task::spawn_blocking(move || {
                    let mut answer = String::new();
                    ask(address, "/healthz").read_to_string(&mut answer).map(|_| answer)
                });
                let answer = asked.await.unwrap().unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                assert!(began.elapsed() < STUCK * 4, "the client is still connected");
            }
            assert!(began.elapsed() >= STUCK);
            let mut made = Vec::new();
            let _ = stuck.read_to_end(&mut made);
            assert!(made.len() < 64 << 20, "{} bytes were made ahead", made.len());
        });
    }

    #[test]
    fn clients_that_do_not_read_make_room_for_others_in_seconds() {
        paused_runtime().block_on(async {
            let (address, _) = serving(app(1 << 20)).await;
            let get = async |path: &'static str| {
                let asked = tokio::task::spawn_blocking(move || {
                    let (mut stream, mut answer) = (ask(address, path), [0; 12]);
                    stream.read_exact(&mut answer).map(|()| (stream, answer))
                });
                let (stream, answer) = asked.await.unwrap().unwrap();
                (stream, String::from_utf8_lossy(&answer[9..]).into_owned())
            };
            let mut listeners = Vec::new();
            for at in 0..LISTENERS_MAX {
                let (stream, status) = get("/api/events").await;
                assert_eq!(status, "200", "listener {at}");
                listeners.push(stream);
            }
            // Other requests are answered. One more listener is admitted once one is stuck.
            let began = Instant::now();
            assert_eq!(get("/healthz").await.1, "200");
            loop {
                match get("/api/events").await.1.as_str() {
                    "200" => break,
                    status => assert_eq!(status, "503"),
                }
                assert!(began.elapsed() < STUCK, "the listener is not admitted");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            assert!(began.elapsed() >= STUCK_IF_FULL - Duration::from_secs(1));
        });
    }

    #[test]
    fn at_the_limit_the_client_without_progress_for_longest_is_disconnected() {
        paused_runtime().block_on(async {
            let slots = ClientSlots::default();
            let slots_taken: Vec<_> = (0..CLIENTS_MAX).map(|_| slots.admit().unwrap()).collect();
            assert!(slots.admit().is_none(), "all have just connected");
            tokio::time::sleep(STUCK_IF_FULL).await;
            slots_taken.iter().filter(|slot| slot.id != 40).for_each(ClientSlot::note_progress);
            let another = slots.admit().unwrap();
            assert!(!slots.clients().by_id.contains_key(&40));
            assert!(slots.admit().is_none(), "all the others have made progress");
            drop(another);
            assert!(slots.admit().is_some());
            let listen = |slot: &&ClientSlot| slot.id != 40 && slot.listen();
            assert_eq!(slots_taken.iter().filter(listen).count(), LISTENERS_MAX);
        });
    }
}
