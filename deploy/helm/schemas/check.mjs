// Checks custom resources against the types and schemas that are generated from their operators' sources:
//   node check.mjs RESOURCES.json        a list of resources, each with the file that it is from
// The schemas check values, but accept unknown fields; TypeScript rejects these.
import { readFileSync, writeFileSync } from "node:fs";
import ts from "typescript";

const packages = {
  "external-secrets.io": "@kubernetes-models/external-secrets",
  "gateway.networking.k8s.io": "@kubernetes-models/gateway-api",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
};
const problems = [];
const lines = [];
const origins = [];
const kinds = new Map();

const found = JSON.parse(readFileSync(process.argv[2], "utf8"));
for (const { file, resource } of found) {
  const { apiVersion, kind, metadata } = resource;
  const [group] = apiVersion.split("/");
  const origin = `${file}: ${kind} ${metadata.name}`;
  if (!packages[group]) {
    problems.push(`${origin}: no schema for ${apiVersion}`);
    continue;
  }
  const module = `${packages[group]}/${apiVersion}/${kind}`;
  kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  const type = `import("${module}").I${kind}`;
  // The second line must be rejected: it shows that unknown fields of this kind are found.
  const faulty = { ...resource, spec: { ...resource.spec, unknownField: true } };
  lines.push(`(${JSON.stringify(resource)}) satisfies ${type};`);
  lines.push("// @ts-expect-error", `(${JSON.stringify(faulty)}) satisfies ${type};`);
  origins.push(origin, origin, origin);
  const { [kind]: Model } = await import(module);
  try {
    new Model(resource).validate();
  } catch (error) {
    problems.push(`${origin}: ${error.message}`);
  }
}

writeFileSync("resources.ts", lines.join("\n"));
const options = {
  noEmit: true,
  strict: true,
  skipLibCheck: true,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
};
const program = ts.createProgram(["resources.ts"], options);
for (const { file, start, messageText } of ts.getPreEmitDiagnostics(program)) {
  const line = file.getLineAndCharacterOfPosition(start).line;
  problems.push(`${origins[line]}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`);
}

for (const problem of problems) console.error(`check: ${problem.slice(0, 500)}`);
if (problems.length > 0) process.exit(1);
if (found.length === 0) throw new Error("no custom resources");
console.log([...kinds].map(([kind, count]) => `${kind}: ${count}`).join(", "));
