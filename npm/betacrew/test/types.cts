import betacrew = require("betacrew");

export const program: string = betacrew.program();
