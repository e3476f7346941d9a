//! Tests of the program over real sockets and real processes.
//!
//! * `serve`: the exchange as a client sees it, byte by byte;
//! * `fetch`: the client as a person sees it;
//! * `flags`: mistakes in flags are reported at the start; `command_line`: completions, manual
//!   pages, the version, suggestions, `-q` and `-v`;
//! * `original`: the client against a socket version of the original exchange;
//! * `lies`: exchanges that lie with the extension;
//! * `hostile`: the client against peers that violate the protocol;
//! * `resume`: continued recordings; `places`: files that commands write and keep;
//! * `complete`: complete and incomplete recordings; `played`: the part of a recording that is
//!   played;
//! * `endings`: ends of `fetch` and its messages then;
//! * `live`: live sessions; `follow`: clients that follow them for long;
//! * `chaos`: live sessions while both ends are killed;
//! * `memory`: memory of a long session; `bombs`: small files that claim to be large;
//! * `convert`: conversion between formats; `captures`: packet captures;
//! * `inspect`: reports about recordings; `damaged`: reports about damaged ones;
//! * `scenarios`: scenario files and the catalogue; `schemas`: JSON Schemas of what is written;
//! * `signals`: effects of INT, TERM and HUP at any moment of a command;
//! * `terminal`: output for people, such as colours and summaries;
//! * `sim`: the simulator as a command;
//! * `grade`, `grade_causes`, `grade_jobs`: clients graded;
//! * `grade_feeds`: clients of SoupBinTCP and MoldUDP64 graded;
//! * `packages`: the packages for Python and JavaScript;
//! * `readers`: exchange of files with other programs; `readme`: the examples of README.md;
//! * `soup_serve`: the exchange in SoupBinTCP, with the venue's own client; `soup_golden`: a client
//!   without sockets, for the bytes of each scenario;
//! * `itch`: ITCH messages as other programs decode them; `wires`: SoupBinTCP and MoldUDP64 beside
//!   other programs;
//! * `soup_fetch`: SoupBinTCP sessions recorded; `soup_both`: both ends over SoupBinTCP;
//!   `soup_crowd`: thousands of clients that never log in, or guess passwords;
//! * `mold_serve`, `mold_fetch`: the exchange and the client in MoldUDP64; `mold_lines`: lines
//!   beside other protocols, with faults of their own, of IPv6; `mold_http`: control of lines, and
//!   the messages that each dropped; `moldudp`: a client and a server of somebody else;
//! * `gateway`: publishing to and reading from NATS streams, with real servers (`server`);
//! * `secrets`: passwords and tokens, which are never shown;
//! * `http`: the HTTP API; `books`: order books in it; `dashboard`: facts on the dashboard;
//!   `browser`: the dashboard in a browser; `logs`: log lines; `compose`: the services of
//!   `compose.yaml`;
//! * `in_time`: waits for processes, with a limit;
//! * `demo`: the demonstration; `examples`: the examples of the library.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

#[cfg(all(target_os = "linux", feature = "columnar", feature = "sqlite"))]
mod bombs;
#[cfg(feature = "web")]
mod books;
#[cfg(feature = "web")]
mod browser;
mod captures;
mod chaos;
#[cfg(unix)]
mod command_line;
mod complete;
#[cfg(all(unix, feature = "web"))]
mod compose;
mod convert;
mod damaged;
#[cfg(feature = "web")]
mod dashboard;
mod demo;
mod endings;
mod endless;
mod examples;
mod fetch;
mod flags;
mod follow;
#[cfg(feature = "nats")]
mod gateway;
mod grade;
mod grade_causes;
mod grade_feeds;
mod grade_jobs;
mod grade_outputs;
#[cfg(unix)]
mod grade_reports;
mod hostile;
#[cfg(feature = "web")]
mod http;
mod in_time;
mod inspect;
mod itch;
mod itch_files;
mod lies;
mod live;
#[cfg(feature = "web")]
mod logs;
mod memory;
mod mold_fetch;
#[cfg(feature = "web")]
mod mold_http;
mod mold_lines;
mod mold_serve;
mod moldudp;
mod original;
// The feature keeps it to one of the runs with different features.
#[cfg(all(unix, feature = "columnar"))]
mod packages;
#[cfg(unix)]
mod places;
mod played;
mod readers;
#[cfg(unix)]
mod readme;
mod resume;
mod scenarios;
#[cfg(unix)]
mod schemas;
mod secrets;
mod serve;
#[cfg(feature = "nats")]
#[path = "../../../gateway/tests/it/server.rs"]
mod server;
mod signals;
mod sim;
mod soup_both;
#[cfg(all(unix, feature = "web"))]
mod soup_crowd;
mod soup_fetch;
mod soup_golden;
mod soup_serve;
mod support;
mod terminal;
mod wires;
#[cfg(unix)]
mod workdirs;
