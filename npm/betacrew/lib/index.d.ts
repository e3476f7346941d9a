/** Failure of the program, with its message and its exit code. */
export declare class BetacrewError extends Error {
  constructor(message: string, exitCode?: number | string);
  /** Exit code of the command line, or the signal that ended the program. */
  exitCode: number | string | undefined;
}

/** One order of a tape, with the names of `output.json`. */
export interface Packet {
  symbol: string;
  buySellIndicator: "B" | "S";
  quantity: number;
  price: number;
  sequence: number;
}

/** What an exchange plays. */
export interface ExchangeOptions {
  /** Packets to play: classic, random:N, a file ... */
  tape?: string;
  /** Faults: a built-in name, a TOML file, or the text of one. */
  scenario?: string;
  /** Seed of the faults; equal seeds drop equal packets. */
  seed?: number;
  /** Share of packets to drop, such as 0.05 or "5%". */
  drop?: number | string;
  /** Sequences to drop, such as "2-3,11". */
  skip?: string;
  /** Speed, such as "5000/s". */
  pace?: string;
  /** Live session, whose packets are created while clients are connected. */
  live?: boolean;
  /** False leaves out the listener of the exercise's protocol, which plays order packets only. */
  betacrew?: boolean;
  /** A listener in SoupBinTCP as well. */
  soup?: boolean;
  /** Further addresses of `betacrew serve --listen`. */
  listen?: string[];
  /** Further flags of `betacrew serve`. */
  args?: string[];
  /** Time until it must listen, in milliseconds. */
  startTimeout?: number;
}

/** Counts since the exchange started. */
export interface Counters {
  /** Packets sent in streams. */
  streamed: number;
  /** Packets sent on request. */
  resent: number;
  /** Packets of streams that were dropped on purpose. */
  dropped: number;
  /** Resends that were dropped on purpose. */
  resendsDropped: number;
  /** Connections accepted. */
  connections: number;
}

/** Commands to a running exchange. Each has been carried out when its promise resolves. */
export interface Control {
  /** Drops the next packets of streams. */
  drop(count: number): Promise<string>;
  /** Drops this share of all packets but the last, from 0 to 1, instead of other faults. */
  dropRate(share: number): Promise<string>;
  /** Plays the faults of a scenario: a built-in one, or the text of a TOML file. */
  scenario(scenario: string): Promise<string>;
  /** Removes all faults. */
  clear(): Promise<string>;
  /** Stops all sending. */
  pause(): Promise<string>;
  /** Continues all sending. */
  resume(): Promise<string>;
  /** Ends all connections, in order or with a reset. */
  cut(how?: { reset?: boolean }): Promise<string>;
}

/** A mock exchange on free ports of this machine. */
export interface Exchange {
  readonly host: string;
  /** Port of the exercise's protocol; without that, of the first listener. */
  readonly port: number;
  /** Host and `port`. */
  readonly address: string;
  /** Ports by protocol: betacrew, soup, and mold, where datagrams are sent to. */
  readonly ports: Readonly<Record<string, number>>;
  /** URL of the dashboard and of the HTTP API. */
  readonly http: string;
  /** Seed of the faults: the one that was given, or the one that was drawn. */
  readonly seed: number;
  /** Command that runs the same exchange on port 3000. */
  readonly command: string;
  /** Lines of the exchange's log. */
  readonly log: readonly string[];
  readonly control: Control;
  /** Resolves with the whole state: `GET /api/state`. */
  state(): Promise<Record<string, any>>;
  counters(): Promise<Counters>;
  /** Resolves with the sequences that were dropped at least once, in order. */
  dropped(): Promise<number[]>;
  /** Resolves with the sequences that were sent on request at least once, in order. */
  resent(): Promise<number[]>;
  /** Resolves with the packets of the tape, as a client must have them at the end. */
  packets(): Promise<Packet[]>;
  /** Ends the exchange. The log is complete then. */
  close(): Promise<void>;
}

/** Starts an exchange; resolves once it listens. It ends with `close`, or with this process. */
export declare function exchange(options?: ExchangeOptions): Promise<Exchange>;

/** Number of cases that passed, out of a total. */
export interface Passes {
  passed: number;
  of: number;
}

/** Result of one case. */
export interface Case {
  id: string;
  severity: "must" | "should";
  verdict: "pass" | "flaky" | "fail" | "not run";
  runs: Passes;
  requirement: string;
  section: string;
  about: string;
  passes: string;
  /** Commands that repeat the case. */
  byHand: string[];
  run?: {
    tookMs: number;
    ended: string;
    output: string | null;
    expected: string | null;
    actual: string | null;
    /** Likely cause of a failure. The id never changes its meaning. */
    cause: { id: string; text: string } | null;
    /** What to do about a failure, and lines of an example client that does it right. */
    advice?: { id?: string; fix?: string; example: string | null };
    observations: string[];
    stderr: string[];
    timeline: Record<string, any>[];
  };
}

/** Result of grading a client: the JSON report, and two summaries. */
export interface GradeReport {
  /** Name and version of the report's schema. */
  schema: string;
  client: string;
  version: string;
  seed: number;
  grade: "A" | "B" | "C" | "D" | "F" | null;
  rule: string | null;
  must: Passes;
  should: Passes;
  notRun: number;
  /** Causes to mend first: those that fail the most musts, at most three. */
  mendFirst: {
    id: string;
    text: string;
    /** What to do, in one sentence. */
    fix: string;
    /** Lines of an example client that does it right. */
    example: { place: string; code: string } | null;
    must: number;
    should: number;
    cases: string[];
  }[];
  cases: Case[];
  /** True if every must passed. */
  passed: boolean;
  /** Cases that did not pass, shoulds as well. */
  failures: Case[];
}

/** How a client is graded. */
export interface GradeOptions {
  /** Ids, groups, or patterns of cases; all cases if there are none. */
  cases?: string[];
  /** File that the client writes, "-" for stdout. */
  output?: string;
  /** Limit of a case, in milliseconds. */
  timeout?: number;
  /** Port of the exchange, or "any" for a client that reads BETACREW_PORT. */
  port?: number | "any";
  workdir?: "copy" | "empty" | "here";
  jobs?: number;
  repeat?: number;
  seed?: number;
  /** Treats every case as a must. */
  strict?: boolean;
  /** Folder in which the client's command is given. */
  cwd?: string;
  /** File for the HTML report. */
  html?: string;
  /** File for the JUnit report. */
  junit?: string;
}

/**
 * Grades a client in any language. `{host}` and `{port}` in its command are replaced; without
 * `{port}` the client is expected to connect to port 3000. A client that fails is a report; one
 * that cannot be started is a {@link BetacrewError}.
 */
export declare function grade(command: string[], options?: GradeOptions): Promise<GradeReport>;

/** A built-in scenario. */
export interface Scenario {
  name: string;
  group: string;
  about: string;
  tape: string;
  /** Protocols in which it does something. */
  protocols: ("betacrew" | "soup" | "mold")[];
  /** False if no client of the exercise's protocol can record every packet. */
  recoverable: boolean;
}

/** Resolves with all built-in scenarios, simple ones first. */
export declare function scenarios(): Promise<Scenario[]>;

/** Returns the path of the program. */
export declare function program(): string;
