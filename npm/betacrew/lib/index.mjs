import betacrew from "./index.js";

export const { BetacrewError, exchange, grade, program, scenarios } = betacrew;
