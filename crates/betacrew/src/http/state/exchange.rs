//! Controller of an exchange: publishes its state and carries out commands.

use crate::format::Arrival;
use crate::http::Web;
use crate::http::api::events;
use crate::http::control::command::{
    ControlAnswer, ControlCommand, CutHow, FaultsRequest, not_found, refusal_of,
};
use crate::http::control::loop_handle::LoopHandle;
use crate::http::state::books::{BookBuilder, BookSnapshot};
use crate::http::state::connection_watch::ConnectionWatch;
use crate::http::state::exchange_events::{event_kind, state_change};
use crate::http::state::feed_state::{self, ExchangeView};
use crate::http::state::metrics::{Histogram, MetricsExtra};
use crate::http::state::mold_lines::MoldLineState;
use crate::http::state::recent_rates::RecentRates;
use crate::http::state::scenario_info::ScenarioInfo;
use crate::http::state::soup_counters::SoupCounters;
use crate::http::state::{
    ConnectionState, Counters, EventKind, FaultsInForce, Feed, Refusal, Rule, SessionView, State,
};
use crate::http::state::{strip, targets};
use crate::net::{ConnectionRef, Controller};
use crate::output::counters::WriteCounters;
use crate::output::sink::PacketSink;
use crate::scenario::{
    EngineSection, ScenarioFile, catalogue, fault_text, impossible_faults, unknown_lines,
};
use crate::text::formatting::{grouped, took};
use feed::base::chance::Chance;
use feed::base::seq::{FIRST_SEQ, Seq, SeqRange};
use feed::exchange::Exchange;
use feed::exchange::server::{ConnectionView, CutKind, MockExchange, ServerConnection};
use feed::faults::scenario::{Fault, FaultAction, FaultSelector, Scenario};
use feed::tape::source::TapeSource;
use feed::wire::{Protocol, Protocols, SessionId};
use std::time::Duration;

/// Maximum number of connections, and of rules, in the state.
const SHOWN_MAX: usize = 100;
/// Maximum number of packets that one turn adds to the books. Without it, the first look at a long
/// tape would stop the loop until all of it is read.
const BOOKED_MAX: u64 = 1 << 16;

/// Controller of an exchange that has an HTTP address.
#[derive(Debug)]
pub(crate) struct ExchangeController {
    loop_handle: Option<LoopHandle>,
    scenario_info: ScenarioInfo,
    /// Counters of the record of a live session (`--record`), if there is one.
    written: Option<WriteCounters>,
    book_snapshot: BookSnapshot,
    books: Option<Books>,
    rates: RecentRates,
    connection_watch: ConnectionWatch,
    feed: Feed,
    session: Option<SessionId>,
}

/// Order books of the tape so far. They are built from the first look on.
#[derive(Debug)]
struct Books {
    session: SessionId,
    builder: BookBuilder,
    next: Seq,
}

impl Books {
    /// Adds the tape's new packets. Returns false if the tape has another session by now.
    fn add_new_packets(&mut self, tape: &mut impl TapeSource) -> bool {
        if tape.session() != self.session {
            return false;
        }
        let last = self.next.saturating_add(BOOKED_MAX - 1).min(tape.last());
        while let Some(range) = SeqRange::new(self.next, last) {
            let messages = tape.messages(range);
            let taken = self.builder.put(messages, Arrival::UNKNOWN).unwrap_or(0);
            let last = messages.first(taken).span().map(|span| span.last());
            self.next = last.map_or(self.next, |last| last + 1);
            if taken == 0 {
                break;
            }
        }
        true
    }
}

impl ExchangeController {
    pub(crate) fn new(
        web: Option<&Web>,
        scenario_info: ScenarioInfo,
        written: Option<WriteCounters>,
    ) -> Self {
        let loop_handle = web.map(|web| web.loop_handle.clone());
        let book_snapshot = web.map(|web| web.book_snapshot.clone()).unwrap_or_default();
        Self {
            loop_handle,
            scenario_info,
            written,
            book_snapshot,
            books: None,
            rates: RecentRates::default(),
            connection_watch: ConnectionWatch::default(),
            feed: Feed { since: events::now(), ..Feed::default() },
            session: None,
        }
    }

    /// Adds the tape's new packets to the books, or starts new books for a new session.
    fn update_books(&mut self, tape: &mut impl TapeSource) {
        if self.books.as_mut().is_some_and(|books| books.add_new_packets(tape)) {
            return;
        }
        let builder = BookBuilder::new(self.book_snapshot.clone(), None).ok();
        let session = tape.session();
        self.books = builder.map(|builder| Books { session, builder, next: FIRST_SEQ });
    }
}

impl<P: TapeSource> Controller<MockExchange<P>> for ExchangeController {
    fn wants(&self) -> bool {
        self.loop_handle.as_ref().is_some_and(LoopHandle::has_requests)
    }

    fn turn(
        &mut self,
        exchange: &mut MockExchange<P>,
        connections: &mut [ConnectionRef<'_, ServerConnection>],
        now: Duration,
    ) -> bool {
        let Some(loop_handle) = self.loop_handle.clone() else { return false };
        let (mut changed, mut answers) = (false, Vec::new());
        for (command, sender) in loop_handle.take_commands() {
            let answer = match command {
                ControlCommand::Strip { from, to, cells } => ControlAnswer::Strip(strip::of(
                    exchange.faults().tally(),
                    exchange.tape().last(),
                    (from, to, cells),
                )),
                command => {
                    let kind = event_kind(&command);
                    match self.carry_out(command, exchange, connections, now) {
                        Ok(done) => {
                            changed = true;
                            let text = format!(
                                "control: {done}{}",
                                targets::positions(exchange, connections)
                            );
                            tracing::info!(target: events::CONTROL, "{text}");
                            events::note(kind, events::now(), text);
                            ControlAnswer::Done(done)
                        }
                        Err(wrong) => ControlAnswer::Refused(wrong),
                    }
                }
            };
            answers.push((sender, answer));
        }
        self.update_books(exchange.tape_mut());
        self.note_changes(exchange, connections, now);
        let (state, extra) = self.state(exchange, connections, now);
        loop_handle.publish_snapshot(state, extra);
        // Answers are sent after the snapshot, so that a caller who has an answer finds its effect
        // in the state. A caller that has left is no error.
        for (sender, answer) in answers {
            let _ = sender.send(answer);
        }
        changed
    }
}

impl ExchangeController {
    fn carry_out<P: TapeSource>(
        &mut self,
        command: ControlCommand,
        exchange: &mut MockExchange<P>,
        connections: &mut [ConnectionRef<'_, ServerConnection>],
        now: Duration,
    ) -> Result<String, Refusal> {
        match command {
            ControlCommand::Faults(faults) => self.change_faults(faults, exchange),
            ControlCommand::DropNext(next) => {
                self.check_drops()?;
                exchange.drop_next(next);
                let mold = self.scenario_info.played.protocols.contains(Protocol::Mold);
                let whole = if mold { "; on MoldUDP64 with all of their datagrams" } else { "" };
                Ok(match next {
                    1 => format!("the next packet is dropped{whole}"),
                    next => format!("the next {} packets are dropped{whole}", grouped(next.into())),
                })
            }
            ControlCommand::Pause => {
                exchange.pause();
                Ok("all sending is paused".to_owned())
            }
            ControlCommand::Resume => {
                exchange.resume();
                Ok("all sending continues".to_owned())
            }
            ControlCommand::Cut(which, how) => {
                let (cut, word) = match how {
                    CutHow::Close => (CutKind::Close, "closed"),
                    CutHow::Reset => (CutKind::Reset, "reset"),
                };
                let (found, left) = targets::cut(exchange, connections, which, cut)?;
                Ok(format!("{found} {word}{left}"))
            }
            ControlCommand::Stall(target, millis) => {
                let time = Duration::from_millis(millis);
                let found = targets::stall(exchange, connections, target, (time, now))?;
                Ok(format!("{found} stalled for {}", took(time)))
            }
            ControlCommand::Strip { .. } => {
                Err(refusal_of("that is not a command", "GET /api/strip"))
            }
        }
    }

    /// Checks that a listener speaks a protocol that can drop packets.
    fn check_drops(&self) -> Result<(), Refusal> {
        if self.scenario_info.played.protocols != Protocols::of(Protocol::Soup) {
            return Ok(());
        }
        let possible = "cut, stall, pause and the scenarios whose protocols have soup";
        Err(refusal_of("SoupBinTCP never loses a message, and nothing else is spoken", possible))
    }

    fn change_faults<P: TapeSource>(
        &mut self,
        faults: FaultsRequest,
        exchange: &mut MockExchange<P>,
    ) -> Result<String, Refusal> {
        let before = exchange.scenario().clone();
        let is_scenario = matches!(faults, FaultsRequest::Scenario(_) | FaultsRequest::Toml(_));
        let (name, about, scenario) = match faults {
            FaultsRequest::Clear(_) => {
                let scenario = Scenario { faults: Vec::new(), ..before };
                ("clean".to_owned(), String::new(), scenario)
            }
            FaultsRequest::Drop(chance) => {
                let chance: Chance = chance.to_string().parse().map_err(|_| {
                    refusal_of(format!("{chance} is not a probability"), "a number from 0 to 1")
                })?;
                self.check_drops()?;
                let faults = vec![Fault::loss(chance)];
                (format!("drop {chance}"), String::new(), Scenario { faults, ..before })
            }
            FaultsRequest::Scenario(name) => {
                let entry = catalogue::entry(&name).ok_or_else(|| {
                    let names: Vec<&str> = catalogue::entries().map(|entry| entry.name).collect();
                    not_found("no built-in scenario has that name", names.join(", "))
                })?;
                parse_scenario(entry.text, &name, before.seed)?
            }
            FaultsRequest::Toml(text) => parse_scenario(&text, "from /api/faults", before.seed)?,
        };
        if let Some(reason) = unknown_lines(&scenario, self.scenario_info.played) {
            return Err(refusal_of(reason, "lines from 1 on, in the order of --listen mold://..."));
        }
        let mut warning = String::new();
        let impossible = impossible_faults(&scenario, self.scenario_info.played);
        if is_scenario && !impossible.is_empty() {
            let text = format!("these faults never apply to this tape: {}", impossible.join("; "));
            if impossible.len() == scenario.faults.len() {
                return Err(refusal_of(text, "faults that apply to this tape"));
            }
            warning = format!("; {text}");
        }
        exchange.set_scenario(scenario);
        (self.scenario_info.scenario, self.scenario_info.about) = (name, about);
        Ok(format!("scenario {} is in force{warning}", self.scenario_info.scenario))
    }

    /// Updates the state of the feed, and notes what has changed since the last look as events.
    fn note_changes<P: TapeSource>(
        &mut self,
        exchange: &MockExchange<P>,
        connections: &[ConnectionRef<'_, ServerConnection>],
        now: Duration,
    ) {
        let tape = exchange.tape();
        let view = ExchangeView {
            paused: exchange.is_paused(),
            down_until: exchange.down_until(),
            over: self.scenario_info.played.live && tape.over(),
            last: tape.last(),
        };
        let views = connections.iter().map(|connection| exchange.view(connection.conn));
        let (state, since) = feed_state::exchange(view, views.clone(), now);
        let at = events::now();
        let ids = views.map(|view| view.connection);
        for (kind, text) in self.connection_watch.update(exchange.stats().connections, ids) {
            events::note(kind, at, text);
        }
        if self.session.replace(tape.session()).is_some_and(|before| before != tape.session()) {
            events::note(EventKind::Session, at, format!("session {} begins", tape.session()));
        }
        if state != self.feed.state {
            let ago = now.saturating_sub(since.unwrap_or(now)).as_millis();
            let since = at.saturating_sub(u64::try_from(ago).unwrap_or(0));
            let before = std::mem::replace(&mut self.feed, Feed { state, since });
            let lasted = Duration::from_millis(at.saturating_sub(before.since));
            if let Some((kind, text)) = state_change(before.state, state, lasted) {
                events::note(kind, since, text);
            }
        }
    }

    fn state<P: TapeSource>(
        &mut self,
        exchange: &MockExchange<P>,
        connections: &[ConnectionRef<'_, ServerConnection>],
        now: Duration,
    ) -> (State, MetricsExtra) {
        let (stats, tape) = (exchange.stats(), exchange.tape());
        let published =
            self.loop_handle.as_ref().map(|loop_handle| loop_handle.last_snapshot().state.clone());
        let views = connections.iter().map(|connection| exchange.view(connection.conn));
        let tally = exchange.faults().tally();
        let total = tally.total();
        let behind = |view: ConnectionView| Some((tape.last() + 1).saturating_sub(view.next?));
        let packets = stats.packets;
        let (rates, _) = self.rates.update(now, (packets, stats.bytes), &Histogram::default());
        let books = self.book_snapshot.get();
        let shown_connections = connections.iter().take(SHOWN_MAX).zip(views.clone());
        let state = State {
            now: events::now(),
            feed: self.feed,
            session: Some(SessionView {
                id: tape.session().to_string(),
                first: FIRST_SEQ,
                last: tape.last(),
                over: tape.over(),
                live: self.scenario_info.played.live,
            }),
            tape: Some(self.scenario_info.tape.clone()),
            counters: Counters {
                packets,
                bytes: stats.bytes,
                streamed: total.sent,
                resent: stats.resends,
                dropped: Some(total.dropped),
                resends_dropped: Some(tally.resends_dropped()),
                refused: Some(stats.refused),
                connections: stats.connections,
                reconnects: stats.cut,
                ..Counters::default()
            },
            rates,
            behind: views.clone().filter_map(behind).max(),
            connections: Some(
                shown_connections
                    .map(|(connection, view)| shown(connection, view, tape.last(), now))
                    .collect(),
            ),
            connections_total: Some(connections.len() as u64),
            listeners: Some(self.scenario_info.listeners.clone()),
            mold: MoldLineState::all(exchange.mold_lines(), now),
            soup: SoupCounters::of(&stats.soup, self.scenario_info.played.protocols),
            book: books.books,
            book_total: books.total,
            book_refused: books.refused,
            faults: Some(self.in_force(exchange)),
            events: events::newest(),
            ..published.unwrap_or_default()
        };
        let mut faults: Vec<(&str, u64)> = tally.kinds().collect();
        faults.push(("drop_next", tally.dropped_by_order()));
        let tape = self.written.as_ref().map(WriteCounters::look);
        (state, MetricsExtra { faults, streams: stats.streams, tape, ..MetricsExtra::default() })
    }

    fn in_force<P: TapeSource>(&self, exchange: &MockExchange<P>) -> FaultsInForce {
        let scenario = exchange.scenario();
        let drop = match scenario.faults.as_slice() {
            [] => Some(0.0),
            [fault] if fault.action() == FaultAction::Drop && fault.sequences.is_none() => {
                match fault.pick {
                    FaultSelector::Random { chance, .. } => Some(chance.as_f64()),
                    _ => None,
                }
            }
            _ => None,
        };
        let rules = scenario.faults.iter().enumerate();
        let rules = rules.take(SHOWN_MAX).map(|(index, fault)| Rule {
            text: fault_text(fault),
            applied: exchange.faults().times_applied(index),
        });
        FaultsInForce {
            scenario: self.scenario_info.scenario.clone(),
            about: self.scenario_info.about.clone(),
            seed: scenario.seed,
            drop,
            paused: exchange.is_paused(),
            drops_pending: exchange.drops_pending(),
            rules: rules.collect(),
        }
    }
}

/// Parses the text of a scenario. The run keeps its `seed`; the one in the text is ignored.
fn parse_scenario(
    text: &str,
    name: &str,
    seed: u64,
) -> Result<(String, String, Scenario), Refusal> {
    let wrong = |error: String| refusal_of(error, "a scenario as docs/scenarios.md describes it");
    let parsed = text.parse::<ScenarioFile>().and_then(|file| file.resolve(name, text));
    let resolved = parsed.map_err(|refusal| wrong(refusal.to_string()))?;
    if resolved.engine == EngineSection::Original {
        return Err(wrong(
            "a running exchange cannot become the original one: start it with serve".to_owned(),
        ));
    }
    Ok((resolved.name, resolved.about, Scenario { seed, ..resolved.scenario }))
}

fn shown(
    connection: &ConnectionRef<'_, ServerConnection>,
    view: ConnectionView,
    last: Seq,
    now: Duration,
) -> ConnectionState {
    let age = now.saturating_sub(view.opened);
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    ConnectionState {
        id: view.connection,
        peer: connection.peer().map_or_else(String::new, |peer| peer.to_string()),
        protocol: view.protocol.to_string(),
        kind: view.kind.to_owned(),
        position: view.next,
        packets: view.packets,
        bytes: view.bytes,
        lag: view.next.map(|next| (last + 1).saturating_sub(next)),
        since: events::now().saturating_sub(age),
        stalled: feed_state::is_stalled(&view, now),
    }
}
