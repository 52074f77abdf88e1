/**
 * What `kling-contract run` loads into every Node child, by `NODE_OPTIONS=--require=…`: connections to the API
 * lead to the port of the run, and time follows the clock of the run.
 *
 * Runs before the program, in Node 18 and later, in worker threads and in Node children of the program. It prints
 * nothing, and without a configuration it does nothing.
 */
"use strict";

/**
 * The configuration in the environment, or null without one.
 * @returns {{hosts: string[], domain: string, port: number, authority: string, allow: string[], refuse_others: boolean,
 *   pace: boolean, offset?: number} | null}
 */
function configurationOfRun() {
  const text = process.env.KLING_CONTRACT_RUN;
  return text ? JSON.parse(text) : null;
}

const configuration = configurationOfRun();
if (configuration !== null) {
  require("./connections.cjs").redirect(configuration);
  if (configuration.pace) require("./waits.cjs").follow(configuration);
  // Programs that wrote `import { connect } from "node:tls"` see what was changed above only after this.
  require("node:module").syncBuiltinESMExports();
}
