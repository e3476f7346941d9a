//! `compose.yaml`: its files fit together, its commands run, and Prometheus reads what they serve.
//!
//! No container runs here: the commands do, with free ports instead of those of the containers.

use crate::http::{Program, has};
use crate::in_time::{ChildInTime, CommandInTime};
use crate::support::{PATIENCE, ReservedPort, betacrew, python, python_has, run};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Root of the repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Returns the services and targets of the files; `None` if Python or its module is missing.
fn files() -> Option<Value> {
    python_has("compose.py", "pyyaml").then(|| {
        let output = python("compose.py", &[ROOT]).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    })
}

/// Returns the command of a service, with any free port instead of each fixed one.
fn command(service: &Value, feed: &str) -> Command {
    let words = service["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    let mut command = betacrew(&[]);
    for word in words {
        match word.rsplit_once(':') {
            Some(("0.0.0.0", _)) => command.arg("0.0.0.0:0"),
            Some(("172.28.70.2", "3000")) => command.arg(feed),
            _ => command.arg(word),
        };
    }
    command
}

/// Starts a service of betacrew with the token, in a folder.
fn start(service: &Value, feed: &str, folder: &Path) -> Program {
    let variable = service["environment"]["BETACREW_HTTP_TOKEN"].as_str().unwrap();
    assert!(variable.starts_with("${BETACREW_HTTP_TOKEN:?"), "{variable}");
    let mut command = command(service, feed);
    command
        .current_dir(folder)
        .env("BETACREW_HTTP_TOKEN", "a secret of many letters")
        .stderr(Stdio::null());
    Program::announced(command)
}

#[test]
fn the_services_fit_together() {
    let Some(files) = files() else { return };
    let services = &files["services"];
    let image = format!("betacrew:{}", env!("CARGO_PKG_VERSION"));
    let mut targets = Vec::new();
    for name in ["exchange", "client"] {
        let service = &services[name];
        assert_eq!(service["image"], *image, "`cargo xtask dist` builds this image");
        let words: Vec<&str> =
            service["command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let at = words.iter().position(|word| *word == "--http").unwrap();
        let port = words[at + 1].rsplit(':').next().unwrap();
        let address = service["networks"]["betacrew"]["ipv4_address"].as_str().unwrap();
        targets.push(format!("{address}:{port}"));
        // The image checks port 8080; the client has another one, and a check of its own.
        let check = service["healthcheck"]["test"].as_array();
        let checked = check.map_or("127.0.0.1:8080", |test| test.last().unwrap().as_str().unwrap());
        assert_eq!(checked, format!("127.0.0.1:{port}"), "{name}");
        // Other machines can reach the address, so a start without a token is refused.
        let refused = &mut command(service, "127.0.0.1:1");
        let (code, _, text) = run(refused.env_remove("BETACREW_HTTP_TOKEN"));
        assert!(code == 2 && text.contains("--http-token"), "{name}: {text}");
    }
    assert_eq!(files["targets"], serde_json::json!(targets));
}

#[test]
fn the_dashboard_shows_what_the_services_measure() {
    let Some(files) = files() else { return };
    let folder = tempfile::tempdir().unwrap();
    let exchange = start(&files["services"]["exchange"], "", folder.path());
    let client = start(&files["services"]["client"], &exchange.feed, folder.path());
    client.until(|state| state["counters"]["packets"].as_u64() > Some(100));
    for program in [&exchange, &client] {
        let port = program.http.rsplit(':').next().unwrap();
        let (code, _, text) = run(&mut betacrew(&["health", &format!("127.0.0.1:{port}")]));
        assert_eq!(code, 0, "{text}");
    }
    let metrics = exchange.metrics() + &client.metrics();
    let named = |name: &str| {
        metrics
            .lines()
            .any(|line| line.strip_prefix(name).is_some_and(|it| it.starts_with(['{', ' '])))
    };
    let mut names = 0;
    for query in queries() {
        let word = |c: char| !(c.is_ascii_lowercase() || c == '_');
        for name in query.split(word).filter(|word| word.starts_with("betacrew_")) {
            assert!(named(name), "{name} is no metric of the services");
            names += 1;
        }
    }
    assert!(names > 15, "{names}");
}

/// Returns all queries of the dashboard.
fn queries() -> Vec<String> {
    let text = std::fs::read_to_string(format!("{ROOT}/docs/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// Prometheus as a process.
struct Prometheus {
    child: Child,
    address: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill_and_reap();
    }
}

impl Prometheus {
    /// Starts Prometheus with a configuration.
    fn start(program: &str, config: &Path, port: &ReservedPort) -> Self {
        let address = port.address();
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", config.with_extension("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--log.level=error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address }
    }

    /// Returns the results of a query; `None` while Prometheus does not answer.
    fn query(&self, query: &str) -> Option<Vec<Value>> {
        let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET /api/v1/query?query={query} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let body: Value = serde_json::from_str(body).ok()?;
        assert_eq!(body["status"], "success", "{body}");
        body["data"]["result"].as_array().cloned()
    }

    /// Waits until a query has so many results.
    fn until(&self, query: &str, results: usize) {
        let began = Instant::now();
        loop {
            let found = self.query(query);
            if found.as_ref().is_some_and(|found| found.len() == results) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{query} never has {results} results: {found:?}");
        }
    }
}

#[test]
fn prometheus_scrapes_the_services() {
    let tool = |variable, name: &str| std::env::var(variable).unwrap_or(name.to_owned());
    let promtool = tool("BETACREW_PROMTOOL", "promtool");
    let prometheus = tool("BETACREW_PROMETHEUS", "prometheus");
    if !has(Command::new(&promtool).arg("--version"))
        || !has(Command::new(&prometheus).arg("--version"))
    {
        return println!("skipped: no Prometheus (Debian's package prometheus has it)");
    }
    let Some(files) = files() else { return };
    let folder = tempfile::tempdir().unwrap();
    let exchange = start(&files["services"]["exchange"], "", folder.path());
    let client = start(&files["services"]["client"], &exchange.feed, folder.path());
    let text =
        std::fs::read_to_string(format!("{ROOT}/examples/monitoring/prometheus.yml")).unwrap();
    let text = text.replace("172.28.70.2:8080", &exchange.http);
    let text = text.replace("172.28.70.3:8081", &client.http);
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, text).unwrap();
    let checked = Command::new(&promtool).args(["check", "config"]).arg(&config).output_in_time();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let port = ReservedPort::new();
    let prometheus = Prometheus::start(&prometheus, &config, &port);
    prometheus.until("up == 1", 2);
    prometheus.until("rate(betacrew_client_packets_recorded_total{source='stream'}[1m]) > 0", 1);
    for query in queries() {
        let query = query.replace("$__rate_interval", "1m").replace("$__range", "15m");
        assert!(prometheus.query(&query).is_some(), "{query}");
    }
}
