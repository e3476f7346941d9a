//! The HTTP thread: it accepts a bounded number of connections and gives each a bounded room and
//! time.

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

/// Maximum number of clients; more are turned away.
const CLIENTS_MAX: usize = 128;
/// Maximum number of those that listen to events, so that there is always room for the others.
pub(crate) const LISTENERS_MAX: usize = 96;
/// Maximum number of clients at once that are told that there is no room.
const TOLD_MAX: usize = 32;
/// Bytes of a request's head that are read, and of answers made ahead of a client that does not
/// read.
const BUFFER: usize = crate::http::api::guard::HEAD_MAX;
/// Unsent bytes that the system keeps for a client: the less, the sooner it shows that one does not
/// read.
const UNSENT_MAX: u32 = 16 * 1024;
/// Time for the head of a request to come.
const HEAD: Duration = Duration::from_secs(5);
/// A client that makes no progress for so long is disconnected: it neither asks nor reads.
const STUCK: Duration = Duration::from_secs(15);
/// A client that makes no progress for so long is disconnected if its room is needed. Longer than
/// the loop may take to answer.
const STUCK_IF_FULL: Duration = Duration::from_secs(4);
/// The pause after the system has refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connected client.
#[derive(Debug)]
struct HttpClient {
    /// When it last asked for something or its socket took a frame.
    moved: Instant,
    /// Whether it listens to events.
    listens: bool,
    /// Ends its connection.
    task: Option<AbortHandle>,
}

/// The clients there are.
#[derive(Debug, Default)]
struct HttpClients {
    by_id: HashMap<u64, HttpClient>,
    admitted: u64,
}

impl HttpClients {
    /// Disconnects the one of `which` that has made no progress for longest, if that is long
    /// enough; whether there was one.
    fn evict(&mut self, which: impl Fn(&HttpClient) -> bool) -> bool {
        let found = self.by_id.iter().filter(|(_, client)| which(client));
        let longest = found.min_by_key(|(_, client)| client.moved);
        let stuck = longest.filter(|(_, client)| client.moved.elapsed() >= STUCK_IF_FULL);
        let Some(id) = stuck.map(|(id, _)| *id) else { return false };
        if let Some(task) = self.by_id.remove(&id).and_then(|client| client.task) {
            task.abort();
        }
        true
    }
}

/// The room that there is for clients.
#[derive(Clone, Debug, Default)]
struct Room(Arc<Mutex<HttpClients>>);

impl Room {
    fn clients(&self) -> MutexGuard<'_, HttpClients> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a place for another client, if there is one or one can be made.
    fn admit(&self) -> Option<ListenAddress> {
        let mut clients = self.clients();
        if clients.by_id.len() >= CLIENTS_MAX && !clients.evict(|_| true) {
            return None;
        }
        clients.admitted += 1;
        let id = clients.admitted;
        clients.by_id.insert(id, HttpClient { moved: Instant::now(), listens: false, task: None });
        Some(ListenAddress { room: self.clone(), id })
    }
}

/// A client's place, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct ListenAddress {
    room: Room,
    id: u64,
}

impl ListenAddress {
    fn change(&self, change: impl FnOnce(&mut HttpClient)) {
        if let Some(client) = self.room.clients().by_id.get_mut(&self.id) {
            change(client);
        }
    }

    /// Something has moved on its connection.
    pub(crate) fn moved(&self) {
        self.change(|client| client.moved = Instant::now());
    }

    /// Makes it one that listens to events; whether there is room for that.
    pub(crate) fn listen(&self) -> bool {
        let mut clients = self.room.clients();
        let listening = clients.by_id.values().filter(|client| client.listens).count();
        if listening >= LISTENERS_MAX && !clients.evict(|client| client.listens) {
            return false;
        }
        if let Some(client) = clients.by_id.get_mut(&self.id) {
            client.listens = true;
        }
        true
    }

    /// Ends once nothing has moved for [`STUCK`].
    async fn stuck(&self) {
        loop {
            let moved = self.room.clients().by_id.get(&self.id).map(|client| client.moved);
            match moved.map(|moved| moved + STUCK) {
                Some(until) if until > Instant::now() => tokio::time::sleep_until(until).await,
                _ => return,
            }
        }
    }
}

impl Drop for ListenAddress {
    fn drop(&mut self) {
        self.room.clients().by_id.remove(&self.id);
    }
}

/// Serves in a thread of its own until the program ends.
///
/// # Errors
/// What the system reports.
pub(crate) fn start(listeners: Vec<std::net::TcpListener>, app: Arc<App>) -> std::io::Result<()> {
    listeners.iter().try_for_each(|listener| listener.set_nonblocking(true))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serve = move || {
        runtime.block_on(async {
            tokio::spawn(chart_history::keep(app.meeting.clone()));
            let (router, room) = (router(app), Room::default());
            let listeners = listeners.into_iter().map(TcpListener::from_std);
            let accepting = listeners.map_while(Result::ok).map(|listener| {
                let (router, room) = (router.clone(), room.clone());
                tokio::spawn(async move { accept(listener, router, &room).await })
            });
            for never_ends in accepting.collect::<Vec<_>>() {
                let _ = never_ends.await;
            }
        });
    };
    std::thread::Builder::new().name("http".to_owned()).spawn(serve)?;
    Ok(())
}

async fn accept(listener: TcpListener, router: Router, room: &Room) {
    let porch = Arc::new(Semaphore::new(TOLD_MAX));
    let full = full(CLIENTS_MAX);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if let Some(place) = room.admit() {
            let place = Arc::new(place);
            let task = tokio::spawn(connection(stream, router.clone(), Arc::clone(&place)));
            place.change(|client| client.task = Some(task.abort_handle()));
        } else if let Ok(told) = Arc::clone(&porch).try_acquire_owned() {
            let full = full.clone();
            tokio::spawn(async move {
                let alone = Room::default();
                if let Some(place) = alone.admit() {
                    connection(stream, full, Arc::new(place)).await;
                }
                drop(told);
            });
        }
        // Else there is not even room to say so: it is closed at once.
    }
}

async fn connection(stream: TcpStream, router: Router, place: Arc<ListenAddress>) {
    let _ = stream.set_nodelay(true);
    crate::net::limit_unsent(&stream, UNSENT_MAX);
    let router = TowerToHyperService::new(router);
    let asked = Arc::clone(&place);
    let service = service_fn(move |mut request: Request<Incoming>| {
        asked.moved();
        request.extensions_mut().insert(Arc::clone(&asked));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    // Whichever ends first; the other is dropped.
    futures_util::future::select(std::pin::pin!(connection), std::pin::pin!(place.stuck())).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::routes::Role;
    use crate::http::control::loop_handle::LoopHandle;
    use crate::http::state::metrics::Raw;
    use crate::http::state::{Event, State};
    use std::io::{Read, Write};

    fn clients(room: &Room) -> usize {
        room.clients().by_id.len()
    }

    /// An app whose loop tells a state of this many bytes whenever somebody wants it.
    fn app(bytes: usize) -> App {
        let meeting = LoopHandle::new(&crate::net::Stop::new(), "client");
        let told = meeting.clone();
        // It ends with the test's runtime.
        tokio::spawn(async move {
            loop {
                if told.wanted() {
                    drop(told.take());
                    let event = Event { text: "x".repeat(bytes), ..Event::default() };
                    let state = State { events: vec![event], ..State::default() };
                    told.tell(state, Raw::default());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        App { meeting, role: Role::Client, token: None }
    }

    /// Serves an app on a free port until the test's runtime ends.
    async fn serving(app: App) -> (std::net::SocketAddr, Room) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let room = Room::default();
        let (router, at_work) = (router(Arc::new(app)), room.clone());
        tokio::spawn(async move { accept(listener, router, &at_work).await });
        (address, room)
    }

    fn ask(address: std::net::SocketAddr, path: &str) -> std::net::TcpStream {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .unwrap();
        stream
    }

    /// A runtime whose time passes at once while nothing else happens.
    fn at_once() -> tokio::runtime::Runtime {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().unwrap()
    }

    #[test]
    fn a_body_that_does_not_come_is_not_waited_for() {
        at_once().block_on(async {
            let (address, room) = serving(App { role: Role::Exchange, ..app(1) }).await;
            let mut slow = std::net::TcpStream::connect(address).unwrap();
            let head = "POST /api/lose HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\
                        content-type: application/json\r\nconnection: close\r\n\r\n{";
            slow.write_all(head.as_bytes()).unwrap();
            while clients(&room) == 0 {
                tokio::task::yield_now().await;
            }
            let began = Instant::now();
            while clients(&room) > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                assert!(began.elapsed() < STUCK, "it is still there");
            }
            let mut answer = String::new();
            slow.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
            assert!(answer.contains("the body does not come"), "{answer}");
        });
    }

    #[test]
    fn who_listens_and_does_not_read_is_disconnected_and_keeps_nobody_else_waiting() {
        at_once().block_on(async {
            let (address, room) = serving(app(1 << 20)).await;
            let mut stuck = ask(address, "/api/events");
            while clients(&room) == 0 {
                tokio::task::yield_now().await;
            }
            // Until the buffers of the system are full it makes progress: some frames, four a
            // second.
            let began = Instant::now();
            while clients(&room) > 0 {
                tokio::time::sleep(Duration::from_millis(500)).await;
                // No time passes meanwhile.
                let asked = tokio::task::spawn_blocking(move || {
                    let mut answer = String::new();
                    ask(address, "/healthz").read_to_string(&mut answer).map(|_| answer)
                });
                let answer = asked.await.unwrap().unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                assert!(began.elapsed() < STUCK * 4, "it is still there");
            }
            assert!(began.elapsed() >= STUCK);
            let mut made = Vec::new();
            let _ = stuck.read_to_end(&mut made);
            assert!(made.len() < 64 << 20, "{} bytes were made ahead", made.len());
        });
    }

    #[test]
    fn clients_that_do_not_read_make_room_for_others_in_seconds() {
        at_once().block_on(async {
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
            // Others get in all the same; one more listener does once one is seen to be stuck.
            let began = Instant::now();
            assert_eq!(get("/healthz").await.1, "200");
            loop {
                match get("/api/events").await.1.as_str() {
                    "200" => break,
                    status => assert_eq!(status, "503"),
                }
                assert!(began.elapsed() < STUCK, "it does not get in");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            assert!(began.elapsed() >= STUCK_IF_FULL - Duration::from_secs(1));
        });
    }

    #[test]
    fn at_the_bound_the_longest_without_progress_goes() {
        at_once().block_on(async {
            let room = Room::default();
            let places: Vec<_> = (0..CLIENTS_MAX).map(|_| room.admit().unwrap()).collect();
            assert!(room.admit().is_none(), "all have just come");
            tokio::time::sleep(STUCK_IF_FULL).await;
            places.iter().filter(|place| place.id != 40).for_each(ListenAddress::moved);
            let another = room.admit().unwrap();
            assert!(!room.clients().by_id.contains_key(&40));
            assert!(room.admit().is_none(), "all the others have moved");
            drop(another);
            assert!(room.admit().is_some());
            let listen = |place: &&ListenAddress| place.id != 40 && place.listen();
            assert_eq!(places.iter().filter(listen).count(), LISTENERS_MAX);
        });
    }
}
