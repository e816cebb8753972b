# The usual tasks: `just` lists them. Each is one command that also works without just.

set positional-arguments

python := ".venv/bin/python"

_default:
    @just --list

# Make the environment with the exact versions that the tests passed with.
setup:
    python3 -m venv .venv
    .venv/bin/pip install -q -c constraints.txt -r requirements-dev.txt
    npm ci --silent

# Serve the page.
app *arguments:
    {{python}} app.py "$@"

# Run tests, e.g. `just test tests/test_geometry.py -k rle`; all but the long ones without arguments.
test *arguments:
    {{python}} -m pytest {{ if arguments == "" { '-m "not slow"' } else { '"$@"' } }}

# Linters, formatter, types, import contracts, JavaScript.
check:
    {{python}} -m tests.checks

# Format the code.
format:
    {{python}} -m ruff format .
    {{python}} -m ruff check --fix .

# Bring the generated parts of the documentation up to date.
docs:
    {{python}} -m tests.docs --write

# Write the versions of this environment, in which all tests passed, to constraints.txt.
constraints:
    {{python}} -m tests.constraints

# Build a wheel into dist/.
wheel:
    {{python}} -m pip wheel --no-deps --wheel-dir dist .

# What must pass: all tests and checks in a fresh environment.
ci:
    bash .ci/run
