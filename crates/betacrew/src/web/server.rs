//! The HTTP thread: it accepts a bounded number of connections and gives each a bounded room and
//! time.

use super::answer::{App, full, router};
use super::chart_history;
use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// So many clients at once; more are turned away.
const CLIENTS_MAX: usize = 128;
/// And so many of those at once are told so.
const TOLD_MAX: usize = 32;
/// The head of a request, and what is made ahead of a client that does not read.
const BUFFER: usize = 64 * 1024;
/// The head of a request must be there after this.
const HEAD: Duration = Duration::from_secs(5);
/// A client that makes no progress for so long is disconnected: it neither asks nor reads.
const STUCK: Duration = Duration::from_secs(15);
/// The pause after the system has refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// That something moves on a connection.
#[derive(Clone, Default, Debug)]
pub(super) struct Progress(Arc<AtomicBool>);

impl Progress {
    pub(super) fn made(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn was_made(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Serves in a thread of its own until the program ends.
///
/// # Errors
/// What the system reports.
pub(super) fn start(listener: std::net::TcpListener, app: Arc<App>) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serve = move || {
        runtime.block_on(async {
            tokio::spawn(chart_history::keep(app.meeting.clone()));
            if let Ok(listener) = TcpListener::from_std(listener) {
                let room = Arc::new(Semaphore::new(CLIENTS_MAX));
                accept(listener, router(app), &room).await;
            }
        });
    };
    std::thread::Builder::new().name("http".to_owned()).spawn(serve)?;
    Ok(())
}

async fn accept(listener: TcpListener, router: Router, room: &Arc<Semaphore>) {
    let porch = Arc::new(Semaphore::new(TOLD_MAX));
    let full = full(CLIENTS_MAX);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (router, place) = match Arc::clone(room).try_acquire_owned() {
            Ok(place) => (router.clone(), place),
            Err(_) => match Arc::clone(&porch).try_acquire_owned() {
                Ok(place) => (full.clone(), place),
                // There is not even room to say so: it is closed at once.
                Err(_) => continue,
            },
        };
        tokio::spawn(async move {
            connection(stream, router).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let _ = stream.set_nodelay(true);
    let progress = Progress::default();
    let router = TowerToHyperService::new(router);
    let asked = progress.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        asked.made();
        request.extensions_mut().insert(asked.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let watch = async {
        loop {
            tokio::time::sleep(STUCK).await;
            if !progress.was_made() {
                break;
            }
        }
    };
    // Whichever ends first; the other is dropped.
    futures_util::future::select(std::pin::pin!(connection), std::pin::pin!(watch)).await;
}

#[cfg(test)]
mod tests {
    use super::super::meeting::Meeting;
    use super::super::metrics::Raw;
    use super::super::routes::Role;
    use super::super::state::{Event, State};
    use super::*;
    use std::io::{Read, Write};
    use tokio::time::Instant;

    /// An app whose loop tells a state of this many bytes whenever somebody wants it.
    fn app(bytes: usize) -> App {
        let meeting = Meeting::new(&crate::net::Stop::new(), "client");
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
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let room = Arc::new(Semaphore::new(CLIENTS_MAX));
            let at_work = Arc::clone(&room);
            let router = router(Arc::new(App { role: Role::Exchange, ..app(1) }));
            tokio::spawn(async move { accept(listener, router, &at_work).await });
            let mut slow = std::net::TcpStream::connect(address).unwrap();
            let head = "POST /api/lose HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\
                        content-type: application/json\r\nconnection: close\r\n\r\n{";
            slow.write_all(head.as_bytes()).unwrap();
            while room.available_permits() == CLIENTS_MAX {
                tokio::task::yield_now().await;
            }
            let began = Instant::now();
            while room.available_permits() < CLIENTS_MAX {
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
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let room = Arc::new(Semaphore::new(CLIENTS_MAX));
            let (router, at_work) = (router(Arc::new(app(1 << 20))), Arc::clone(&room));
            tokio::spawn(async move { accept(listener, router, &at_work).await });
            let mut stuck = ask(address, "/api/events");
            while room.available_permits() == CLIENTS_MAX {
                tokio::task::yield_now().await;
            }
            // Until the buffers of the system are full it makes progress: some frames, four a
            // second.
            let began = Instant::now();
            while room.available_permits() < CLIENTS_MAX {
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
}
