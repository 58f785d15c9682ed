// Runs in Azurite's process before Azurite does.
import { createRequire } from "node:module";

// It ends when its standard input does, so it never outlives whoever started it.
process.stdin.resume().on("end", () => process.kill(process.pid, "SIGTERM"));

// Every ten minutes it collects what no blob refers to any more, in quadratic time and without
// answering meanwhile: minutes, after as many documents as tests write. A start collects too.
const constants = createRequire(process.argv[1])("./blob/utils/constants");
constants.DEFAULT_GC_INTERVAL_MS = 2 ** 31 - 1;
