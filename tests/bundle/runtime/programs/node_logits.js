// Runs an ONNX file in onnxruntime's package for Node: MODEL INPUTS.raw LOGITS.raw N C H W; files are float32.
"use strict";
const fs = require("fs");
const path = require("path");
const home = path.join(process.env.HWNAS_NODE_RUNTIME, "node_modules", "onnxruntime-node");
const ort = require(home);

async function main() {
  const [model, inputs, logits, ...sizes] = process.argv.slice(2);
  const [count, ...shape] = sizes.map(Number);
  const length = shape.reduce((product, size) => product * size, 1);
  const bytes = fs.readFileSync(inputs);
  const values = new Float32Array(bytes.buffer, bytes.byteOffset, count * length);
  const session = await ort.InferenceSession.create(model, {
    executionProviders: ["cpu"], intraOpNumThreads: 1, logSeverityLevel: 3,
    extra: { session: { x64quantprecision: "1" } }, // see docs/reference/runtimes.md
  });
  const out = fs.openSync(logits, "w");
  for (let index = 0; index < count; index += 1) {
    const data = values.slice(index * length, (index + 1) * length);
    const feeds = { [session.inputNames[0]]: new ort.Tensor("float32", data, [1, ...shape]) };
    const found = (await session.run(feeds))[session.outputNames[0]].data;
    fs.writeSync(out, Buffer.from(found.buffer, found.byteOffset, found.byteLength));
  }
  fs.closeSync(out);
  console.log(JSON.parse(fs.readFileSync(path.join(home, "package.json"), "utf8")).version);
}

main().catch((error) => { console.error(error); process.exit(1); });
