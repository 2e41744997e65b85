# Sourced by download_and_convert_*.sh: where the project and its Python are, and a download that can be interrupted.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PYTHON="${PYTHON:-$([ -x "$ROOT/.venv/bin/python" ] && echo "$ROOT/.venv/bin/python" || echo python3)}"

# fetch URL FILE [SHA256]: downloads to FILE.part, continues where an earlier run stopped, checks, renames.
fetch() {
  local url="$1" file="$2" expected="${3:-}"
  if [ -f "$file" ]; then
    echo "$file is there already"
    return
  fi
  echo "Downloading $url"
  curl --fail --location --retry 5 --continue-at - --output "$file.part" "$url" || {
    echo "error: $url cannot be downloaded; run this again to continue, or set the address (see the top of $0)" >&2
    return 1
  }
  if [ -n "$expected" ] && ! echo "$expected  $file.part" | sha256sum --check --status; then
    rm "$file.part"
    echo "error: $url is not the expected file (SHA-256 differs); it was removed, run this again" >&2
    return 1
  fi
  mv "$file.part" "$file"
}

# fetch_and_unpack FOLDER ARCHIVE URL [SHA256]: both, into FOLDER/raw.
fetch_and_unpack() {
  local folder="$1" archive="$2" url="$3" expected="${4:-}"
  mkdir -p "$folder"
  fetch "$url" "$folder/$archive" "$expected"
  unpack "$folder/$archive" "$folder/raw"
}

# unpack ARCHIVE FOLDER: unpacks into FOLDER unless that is complete; an interrupted run leaves nothing half done.
unpack() {
  local archive="$1" folder="$2"
  [ -d "$folder" ] && return
  echo "Unpacking $archive"
  rm -rf "$folder.part" && mkdir -p "$folder.part"
  case "$archive" in
    *.zip) "$PYTHON" -m zipfile -e "$archive" "$folder.part" ;;
    *) tar -xf "$archive" -C "$folder.part" ;;
  esac || {
    rm -rf "$folder.part" "$archive"
    echo "error: $archive is damaged; it was removed, run this again" >&2
    return 1
  }
  mv "$folder.part" "$folder"
}
