// Does as its event says; scenarios.py, scenarios.sh and scenarios.rs do the same.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

if (process.env.FAIL_INIT === "raise") throw new Error("no configuration");
if (process.env.FAIL_INIT === "exit") process.exit(7);

const environment = randomUUID();
let invocations = 0;

export const handler = async (event, context) => {
  invocations += 1;
  switch (event?.do) {
    case "error":
      throw new RangeError("as told");
    case "exit":
      return process.exit(3);
    case "kill":
      process.kill(process.pid, "SIGKILL");
      return sleep(60_000);
    case "sleep":
      return sleep(60_000);
    case "large":
      return "x".repeat(event.bytes);
    case "count":
      return { environment, invocations };
    case "context":
      return seen(context);
    default:
      return event;
  }
};

const seen = (context) => ({
  requestId: context.awsRequestId,
  arn: context.invokedFunctionArn,
  remainingMs: context.getRemainingTimeInMillis(),
  custom: context.clientContext?.custom ?? null,
  trace: process.env._X_AMZN_TRACE_ID,
});

// Streams `chunks` chunks; with `fail` the last one is an error instead.
export const stream = awslambda.streamifyResponse(async (event, answer) => {
  if (event.prelude) answer = awslambda.HttpResponseStream.from(answer, event.prelude);
  for (let number = 0; number < event.chunks; number += 1) {
    if (event.fail && number === event.chunks - 1) throw new RangeError("as told");
    answer.write(`${number} `.padEnd(event.bytes ?? 16, "."));
  }
  answer.end();
  await answer.finished?.();
});
