// The types, as a test in TypeScript uses them. Nothing runs here; tsc checks it.
import { BetacrewError, exchange, grade, scenarios, type Packet } from "betacrew";

const running = await exchange({ tape: "classic", scenario: "burst", seed: 7 });
const packets: Packet[] = await running.packets();
const port: number = running.port;
await running.control.cut({ reset: true });
const report = await grade(["node", "client.js"], { cases: ["gaps"], port: "any" });
const cause: string | undefined = report.failures[0]?.run?.cause?.id;
const names: string[] = (await scenarios()).map(({ name }) => name);
// @ts-expect-error: an unknown option is a mistake
await exchange({ tapes: "classic" });
// @ts-expect-error: a port is a number or "any"
await grade(["node"], { port: "some" });
export { BetacrewError, cause, names, packets, port };
