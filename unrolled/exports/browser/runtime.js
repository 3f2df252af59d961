// ONNX Runtime, on one thread.

import * as ort from "./ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1;
export { ort };
