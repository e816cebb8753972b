// The page's JavaScript runs in browsers, its tests in node. Types are checked by tsc; this finds what types do not show.
import js from "@eslint/js";
import globals from "globals";

const rules = {
  ...js.configs.recommended.rules,
  "array-callback-return": "error",
  eqeqeq: ["error", "always", { null: "ignore" }],
  "no-eval": "error",
  "no-implied-eval": "error",
  "no-new-func": "error",
  "no-self-compare": "error",
  "no-template-curly-in-string": "error",
  "no-unneeded-ternary": "error",
  "no-var": "error",
  "object-shorthand": "error",
  "prefer-const": "error",
  // Text from models, files and people reaches the page as text nodes only.
  "no-restricted-properties": ["error", ...["innerHTML", "outerHTML", "insertAdjacentHTML", "write"].map((property) => ({
    property,
    message: "Build nodes with shared/dom.js: text must never be read as HTML.",
  }))],
};

export default [
  { ignores: ["node_modules/", ".venv/", "assets/", "runs/"] },
  {
    files: ["segr1_app/ui/static/**/*.js"],
    languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: { ...rules, "max-lines-per-function": ["error", { max: 60, skipComments: true }] },
  },
  {
    files: ["tests/js/**/*.js", "eslint.config.js"],
    languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: globals.node },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules,
  },
];
