// Prints results as they are stored: node tail.js ADDRESS CA CERTIFICATE KEY

import { readFileSync } from "node:fs";

import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import { QueryService } from "../src/sonde/query/v1/query_pb.js";

const [address, ...files] = process.argv.slice(2);
const [ca, cert, key] = files.map((file) => readFileSync(file));

const transport = createGrpcTransport({ baseUrl: `https://${address}`, nodeOptions: { ca, cert, key } });
const query = createClient(QueryService, transport);

for await (const { result, missed } of query.watchResults({})) {
  if (missed > 0n) {
    console.log(`missed ${missed}`);
  }
  if (result) {
    const label = result.classification?.unknown ? "unknown" : result.classification?.label;
    console.log(result.sessionId, label, `${result.server?.address} port ${result.server?.port}`);
  }
}
