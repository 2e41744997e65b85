# Sourced by the other scripts: `make_environment [EXTRA]` puts the project and what it needs into .venv.
#
# It takes the newest Python that TensorFlow has wheels for; DEEPLAB_PYTHON=/path/to/python names another interpreter.
# It installs only when setup.py, pyproject.toml or the Python changed since the last time. An installation is recorded
# at its end, so that an interrupted one is repeated.

PYTHONS="python3.13 python3.12 python3.11 python3.10 python3 python"

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

find_python() {
  local candidate
  for candidate in ${DEEPLAB_PYTHON:-$PYTHONS}; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
        >/dev/null 2>&1; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  fail "no Python 3.10 to 3.13 with venv found (tried: ${DEEPLAB_PYTHON:-$PYTHONS});" \
    "install one (Debian, Ubuntu: apt-get install python3 python3-venv) or set DEEPLAB_PYTHON"
}

make_environment() {
  local extra="${1:-}" python fingerprint stamp
  stamp=".venv/installed-${extra:-plain}"
  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python="$(find_python)" || exit 1
    say "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
    .venv/bin/python -m pip install --quiet --upgrade pip  # Python 3.10's pip tries out versions for minutes
  fi
  fingerprint="$(cat setup.py pyproject.toml | .venv/bin/python -c \
    'import hashlib, sys; print(sys.version.split()[0], hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')"
  if [ "$(cat "$stamp" 2>/dev/null)" = "$fingerprint" ] ||
      { [ -z "$extra" ] && grep -qsxF "$fingerprint" .venv/installed-*; }; then  # every extra includes the rest
    say "Using .venv as it is: its requirements have not changed"
    return
  fi
  say "Installing TensorFlow and the rest into .venv (about 2 GB on disk; minutes the first time)"
  .venv/bin/python -m pip install --disable-pip-version-check --editable ".${extra:+[$extra]}"
  printf '%s\n' "$fingerprint" > "$stamp"
}
