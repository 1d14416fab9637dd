// Parse the AsyncAPI document on standard input with the AsyncAPI project's parser; print its diagnostics as JSON.
"use strict";
const fs = require("fs");
const { Parser } = require("@asyncapi/parser");

new Parser().parse(fs.readFileSync(0, "utf8")).then(({ document, diagnostics }) => {
  const found = diagnostics.map(({ code, message, path, severity }) => ({ code, message, path: path.join("/"), severity }));
  process.stdout.write(JSON.stringify({ parsed: document !== undefined, diagnostics: found }));
});
