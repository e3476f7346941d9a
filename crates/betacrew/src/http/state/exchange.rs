//! The desk of an exchange: tells its state, carries out orders.

use crate::format::Arrival;
use crate::http::api::events;
use crate::http::control::command::{
    ControlAnswer, ControlCommand, FaultsRequest, How, absent, refused,
};
use crate::http::control::loop_handle::LoopHandle;
use crate::http::state::books::{BookBuilder, BookSnapshot};
use crate::http::state::connection_watch::ConnectionWatch;
use crate::http::state::feed_state::{self, ExchangeView, FeedState};
use crate::http::state::metrics::{Histogram, Raw};
use crate::http::state::strip;
use crate::http::state::{
    ConnectionState, Counters, EventKind, FaultsInForce, Feed, Refused, Rule, SessionView, State,
};
use crate::http::{Past, Web};
use crate::net::{ConnectionRef, Controller};
use crate::output::counters::WriteCounters;
use crate::output::sink::PacketSink;
use crate::scenario::{
    EngineSection, ResolvedScenario, ScenarioFile, catalogue, fault_text, impossible_faults,
};
use crate::text::formatting::{count, grouped, took};
use feed::base::chance::Chance;
use feed::base::seq::{FIRST_SEQ, Seq, SeqRange};
use feed::exchange::Exchange;
use feed::exchange::server::{ConnectionView, CutKind, MockExchange, ServerConnection};
use feed::faults::scenario::{Fault, FaultAction, FaultSelector, Played, Scenario};
use feed::tape::source::TapeSource;
use feed::wire::SessionId;
use std::time::Duration;

/// So many connections are shown.
const SHOWN: usize = 100;
/// So many packets go into the books at once, ten times a second at the most.
const BOOKED: u32 = 1 << 16;
/// So many are named in the log.
const NAMED: usize = 8;

/// What is on: names for what is played and what goes wrong.
#[derive(Clone, Default, Debug)]
pub(crate) struct ScenarioInfo {
    tape: String,
    played: Played,
    scenario: String,
    about: String,
}

impl ScenarioInfo {
    pub(crate) fn new(plot: &ResolvedScenario, played: Played) -> Self {
        let (scenario, about) = (plot.name.clone(), plot.about.clone());
        Self { tape: plot.tape.to_string(), played, scenario, about }
    }
}

/// Who sits at the desk of an exchange that has an HTTP address.
#[derive(Debug)]
pub(crate) struct ExchangeController {
    meeting: Option<LoopHandle>,
    bill: ScenarioInfo,
    /// What has been written to a record of a live session.
    written: Option<WriteCounters>,
    shelf: BookSnapshot,
    books: Option<Books>,
    past: Past,
    connections: ConnectionWatch,
    feed: Feed,
    session: Option<SessionId>,
}

/// The order books of the tape so far, made from when somebody looks first.
#[derive(Debug)]
struct Books {
    session: SessionId,
    keeper: BookBuilder,
    next: Seq,
}

impl Books {
    /// Goes on with what the tape has; whether it still is that tape.
    fn go_on(&mut self, tape: &mut impl TapeSource) -> bool {
        if tape.session() != self.session {
            return false;
        }
        let most = self.next.saturating_add(BOOKED - 1).min(tape.last());
        while let Some(range) = SeqRange::new(self.next, most) {
            let taken = self.keeper.put(tape.frames(range), Arrival::UNKNOWN).unwrap_or(0);
            self.next += u32::try_from(taken).unwrap_or(0);
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
        bill: ScenarioInfo,
        written: Option<WriteCounters>,
    ) -> Self {
        let meeting = web.map(|web| web.meeting.clone());
        let shelf = web.map(|web| web.shelf.clone()).unwrap_or_default();
        Self {
            meeting,
            bill,
            written,
            shelf,
            books: None,
            past: Past::default(),
            connections: ConnectionWatch::default(),
            feed: Feed { since: events::now(), ..Feed::default() },
            session: None,
        }
    }

    /// The books go on with the tape, or begin with another one.
    fn keep_books(&mut self, tape: &mut impl TapeSource) {
        if self.books.as_mut().is_some_and(|books| books.go_on(tape)) {
            return;
        }
        let keeper = BookBuilder::new(self.shelf.clone()).ok();
        let session = tape.session();
        self.books = keeper.map(|keeper| Books { session, keeper, next: FIRST_SEQ });
    }
}

impl<P: TapeSource> Controller<MockExchange<P>> for ExchangeController {
    fn wants(&self) -> bool {
        self.meeting.as_ref().is_some_and(LoopHandle::wanted)
    }

    fn turn(
        &mut self,
        player: &mut MockExchange<P>,
        floor: &mut [ConnectionRef<'_, ServerConnection>],
        now: Duration,
    ) -> bool {
        let Some(meeting) = self.meeting.clone() else { return false };
        let (mut changed, mut answers) = (false, Vec::new());
        for (order, sender) in meeting.take() {
            let answer = match order {
                ControlCommand::Strip { from, to, cells } => ControlAnswer::Strip(strip::of(
                    player.faults().tally(),
                    player.tape().last(),
                    (from, to, cells),
                )),
                order => {
                    let kind = kind(&order);
                    match self.carry_out(order, player, floor, now) {
                        Ok(done) => {
                            changed = true;
                            let text = format!("control: {done}{}", positions(player, floor));
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
        self.keep_books(player.tape_mut());
        self.look(player, floor, now);
        let (state, raw) = self.state(player, floor, now);
        meeting.tell(state, raw);
        // Whoever has an answer finds what it says in the state. They may have gone.
        for (sender, answer) in answers {
            let _ = sender.send(answer);
        }
        changed
    }
}

impl ExchangeController {
    fn carry_out<P: TapeSource>(
        &mut self,
        order: ControlCommand,
        player: &mut MockExchange<P>,
        floor: &mut [ConnectionRef<'_, ServerConnection>],
        now: Duration,
    ) -> Result<String, Refused> {
        match order {
            ControlCommand::Faults(faults) => self.change(faults, player),
            ControlCommand::Lose(next) => {
                player.drop_next(next);
                Ok(match next {
                    1 => "the next packet is lost".to_owned(),
                    next => format!("the next {} packets are lost", grouped(next.into())),
                })
            }
            ControlCommand::Pause(paused) => {
                player.pause(paused);
                Ok(if paused { "all sending stands still" } else { "all sending goes on" }
                    .to_owned())
            }
            ControlCommand::Cut(which, how) => {
                let (cut, word) = match how {
                    How::Close => (CutKind::Close, "closed"),
                    How::Reset => (CutKind::Reset, "reset"),
                };
                let found = each(player, floor, which, |player, seat| player.cut(seat, cut))?;
                Ok(format!("{found} {word}"))
            }
            ControlCommand::Stall(which, millis) => {
                let time = Duration::from_millis(millis);
                let found =
                    each(player, floor, which, |player, seat| player.stall(seat, time, now))?;
                Ok(format!("{found} sent nothing for {}", took(time)))
            }
            ControlCommand::Strip { .. } => Err(refused("that is no change", "GET /api/strip")),
        }
    }

    fn change<P: TapeSource>(
        &mut self,
        faults: FaultsRequest,
        player: &mut MockExchange<P>,
    ) -> Result<String, Refused> {
        let before = player.scenario().clone();
        let chosen = matches!(faults, FaultsRequest::Scenario(_) | FaultsRequest::Toml(_));
        let (name, about, scenario) = match faults {
            FaultsRequest::Clear(_) => {
                let scenario = Scenario { faults: Vec::new(), ..before };
                ("clean".to_owned(), String::new(), scenario)
            }
            FaultsRequest::Drop(chance) => {
                let chance: Chance = chance.to_string().parse().map_err(|_| {
                    refused(format!("{chance} is no probability"), "a number from 0 to 1")
                })?;
                let faults = vec![Fault::loss(chance)];
                (format!("drop {chance}"), String::new(), Scenario { faults, ..before })
            }
            FaultsRequest::Scenario(name) => {
                let entry = catalogue::entry(&name).ok_or_else(|| {
                    let names: Vec<&str> = catalogue::entries().map(|entry| entry.name).collect();
                    absent("there is no built-in scenario of that name", names.join(", "))
                })?;
                play(entry.text, &name, before.seed)?
            }
            FaultsRequest::Toml(text) => play(&text, "by order", before.seed)?,
        };
        let mut rest = String::new();
        let impossible = impossible_faults(&scenario, self.bill.played);
        if chosen && !impossible.is_empty() {
            let text = format!("what can never happen here: {}", impossible.join("; "));
            if impossible.len() == scenario.faults.len() {
                return Err(refused(text, "faults that can happen to what is played"));
            }
            rest = format!("; {text}");
        }
        player.set_scenario(scenario);
        (self.bill.scenario, self.bill.about) = (name, about);
        Ok(format!("scenario {} from here on{rest}", self.bill.scenario))
    }

    /// Looks at what the feed does, and notes what has happened to it.
    fn look<P: TapeSource>(
        &mut self,
        player: &MockExchange<P>,
        floor: &[ConnectionRef<'_, ServerConnection>],
        now: Duration,
    ) {
        let tape = player.tape();
        let view = ExchangeView {
            paused: player.is_paused(),
            down_until: player.down_until(),
            over: self.bill.played.live && tape.over(),
            last: tape.last(),
        };
        let views = floor.iter().map(|place| player.view(place.conn));
        let (state, since) = feed_state::exchange(view, views.clone(), now);
        let at = events::now();
        let ids = views.map(|view| view.connection);
        for (kind, text) in self.connections.look(player.served().connections, ids) {
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
            if let Some((kind, text)) = turned(before.state, state, lasted) {
                events::note(kind, since, text);
            }
        }
    }

    fn state<P: TapeSource>(
        &mut self,
        player: &MockExchange<P>,
        floor: &[ConnectionRef<'_, ServerConnection>],
        now: Duration,
    ) -> (State, Raw) {
        let (served, tape) = (player.served(), player.tape());
        let told = self.meeting.as_ref().map(|meeting| meeting.last().state.clone());
        let views = floor.iter().map(|place| player.view(place.conn));
        let tally = player.faults().tally();
        let total = tally.total();
        let behind = |view: ConnectionView| Some((tape.last() + 1).saturating_sub(view.next?));
        let packets = served.packets;
        let (rates, _) = self.past.look(now, (packets, served.bytes), &Histogram::default());
        let connections = floor.iter().take(SHOWN).zip(views.clone());
        let state = State {
            now: events::now(),
            feed: self.feed,
            session: Some(SessionView {
                id: tape.session().to_string(),
                first: FIRST_SEQ,
                last: tape.last(),
                over: tape.over(),
                live: self.bill.played.live,
            }),
            tape: Some(self.bill.tape.clone()),
            counters: Counters {
                packets,
                bytes: served.bytes,
                streamed: total.sent,
                resent: served.resends,
                dropped: Some(total.dropped),
                resends_dropped: Some(tally.resends_dropped()),
                refused: Some(served.refused),
                connections: served.connections,
                reconnects: served.cut,
                ..Counters::default()
            },
            rates,
            behind: views.clone().filter_map(behind).max(),
            connections: Some(
                connections.map(|(place, view)| shown(place, view, tape.last(), now)).collect(),
            ),
            connections_total: Some(floor.len() as u64),
            book: Some(self.shelf.look()),
            faults: Some(self.in_force(player)),
            events: events::newest(),
            ..told.unwrap_or_default()
        };
        let mut faults: Vec<(&str, u64)> = tally.kinds().collect();
        faults.push(("order", tally.by_order()));
        let tape = self.written.as_ref().map(WriteCounters::look);
        (state, Raw { faults, streams: served.streams, tape, ..Raw::default() })
    }

    fn in_force<P: TapeSource>(&self, player: &MockExchange<P>) -> FaultsInForce {
        let scenario = player.scenario();
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
        let rules = rules.take(SHOWN).map(|(index, fault)| Rule {
            text: fault_text(fault),
            struck: player.faults().struck(index),
        });
        FaultsInForce {
            scenario: self.bill.scenario.clone(),
            about: self.bill.about.clone(),
            seed: scenario.seed,
            drop,
            paused: player.is_paused(),
            losing: player.drops_pending(),
            rules: rules.collect(),
        }
    }
}

/// Kind of event that an order is.
fn kind(order: &ControlCommand) -> EventKind {
    match order {
        ControlCommand::Faults(_) => EventKind::Faults,
        ControlCommand::Lose(_) => EventKind::Lose,
        ControlCommand::Pause(_) => EventKind::Pause,
        ControlCommand::Cut(..) => EventKind::Cut,
        ControlCommand::Stall(..) => EventKind::Stall,
        ControlCommand::Strip { .. } => EventKind::Log,
    }
}

/// Returns what is to be told when the feed turns from `before`, which has `lasted` so long, to
/// `after`. Orders and connections are told where they are carried out or seen.
fn turned(before: FeedState, after: FeedState, lasted: Duration) -> Option<(EventKind, String)> {
    match (before, after) {
        (_, FeedState::Stalled) => Some((EventKind::Stall, "every stream is stalled".to_owned())),
        (_, FeedState::Down) => Some((EventKind::Cut, "the exchange is down".to_owned())),
        (_, FeedState::Over) => Some((EventKind::Over, "the session is over".to_owned())),
        (FeedState::Stalled, FeedState::Playing) => {
            Some((EventKind::Stall, format!("sending again after about {}", took(lasted))))
        }
        (FeedState::Down, _) => Some((
            EventKind::Connected,
            format!("the exchange is back after about {}", took(lasted)),
        )),
        _ => None,
    }
}

/// The scenario of a text, with the run's own seed.
fn play(text: &str, name: &str, seed: u64) -> Result<(String, String, Scenario), Refused> {
    let wrong = |error: String| refused(error, "a scenario as docs/scenarios.md describes it");
    let parsed = text.parse::<ScenarioFile>().and_then(|file| file.resolve(name, text));
    let plot = parsed.map_err(|refusal| wrong(refusal.to_string()))?;
    if plot.engine == EngineSection::Original {
        return Err(wrong("another exchange cannot take over: start it with serve".to_owned()));
    }
    Ok((plot.name, plot.about, Scenario { seed, ..plot.scenario }))
}

/// Does something to one connection, or to all.
fn each<P: TapeSource>(
    player: &mut MockExchange<P>,
    floor: &mut [ConnectionRef<'_, ServerConnection>],
    which: Option<u64>,
    mut what: impl FnMut(&mut MockExchange<P>, &mut ServerConnection),
) -> Result<String, Refused> {
    let mut found = 0;
    for place in floor {
        if which.is_none_or(|which| player.view(place.conn).connection == which) {
            what(player, place.conn);
            found += 1;
        }
    }
    match which {
        Some(which) if found == 0 => Err(absent(
            format!("there is no connection {which} (any more)"),
            "one of /api/state's connections",
        )),
        Some(which) => Ok(format!("connection {which}")),
        None => Ok(count(found, "connection")),
    }
}

/// Where streams are, for the log.
fn positions<P: TapeSource>(
    player: &MockExchange<P>,
    floor: &[ConnectionRef<'_, ServerConnection>],
) -> String {
    let mut text = String::new();
    let at = floor.iter().map(|place| player.view(place.conn));
    let mut at = at.filter_map(|view| Some((view.connection, view.next?)));
    for (connection, next) in at.by_ref().take(NAMED) {
        text += if text.is_empty() { " (" } else { ", " };
        text += &format!("connection {connection} before packet {next}");
    }
    match (text.is_empty(), at.count()) {
        (true, _) => text,
        (false, 0) => text + ")",
        (false, more) => format!("{text} and {} more)", grouped(more as u64)),
    }
}

fn shown(
    place: &ConnectionRef<'_, ServerConnection>,
    view: ConnectionView,
    last: u32,
    now: Duration,
) -> ConnectionState {
    let age = now.saturating_sub(view.opened);
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    ConnectionState {
        id: view.connection,
        peer: place.peer().map_or_else(String::new, |peer| peer.to_string()),
        kind: view.kind.to_owned(),
        position: view.next,
        packets: view.packets,
        bytes: view.bytes,
        lag: view.next.map(|next| (last + 1).saturating_sub(next)),
        since: events::now().saturating_sub(age),
        stalled: feed_state::is_stalled(&view, now),
    }
}
