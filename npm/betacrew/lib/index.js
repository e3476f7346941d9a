"use strict";

const { exchange } = require("./exchange.js");
const { grade, scenarios } = require("./grade.js");
const { BetacrewError, program } = require("./program.js");

module.exports = { BetacrewError, exchange, grade, program, scenarios };
