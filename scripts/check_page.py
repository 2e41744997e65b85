"""Drives the page of a running `deeplab.serve` in headless Chromium and takes a screenshot of it.

    pip install playwright; apt-get install chromium
    python scripts/check_page.py --url=http://localhost:8501 --image=IMAGE --screenshot=page.png

Drops an image and a text file. Exit code 1 if the overlay does not lie on the image, the legend is empty, the text
is not refused in words, the console has an error, or anything is fetched from elsewhere.
"""

import argparse
import base64
import pathlib
import sys

_DROP = """([content, name, type]) => {
  const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0)), transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, {type}));
  document.querySelector("#drop").dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true}));
}"""
_SIDES = """() => ["image", "labels"].map(id => {
  const image = document.getElementById(id), box = image.getBoundingClientRect();
  return [image.complete && image.naturalWidth / image.naturalHeight, box.width, box.height];
})"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://localhost:8501")
    parser.add_argument("--image", required=True)
    parser.add_argument("--screenshot", default="page.png")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--token", help="typed in where the server was started with --auth_token_file")
    parser.add_argument("--width", type=int, default=1060, help="of the window")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": options.width, "height": 800})
        problems = check(page, options)
        browser.close()
    print("\n".join(problems) or f"The page works; see {options.screenshot}")
    sys.exit(1 if problems else 0)


def check(page, options):
    """Returns what is wrong, as a list of lines."""
    problems, elsewhere = [], []
    page.on("console", lambda message: problems.append(f"console: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(f"script: {error}"))
    page.on("request", lambda request: elsewhere.append(request.url))
    page.goto(options.url)
    if options.token:
        page.wait_for_selector("#access:not([hidden])")
        page.fill("#token", options.token)
        page.click("#access button")
        page.wait_for_function("document.getElementById('about').textContent.includes('version')")
        problems[:] = [line for line in problems if " 401 " not in line]  # Chromium logs the refusal itself
    drop(page, pathlib.Path(options.image).read_bytes(), "picture", "image/*")
    page.wait_for_selector("#result:not([hidden])")
    page.wait_for_function("[...document.querySelectorAll('#stage img')].every(image => image.complete)")
    page.screenshot(path=options.screenshot, full_page=True)
    print(page.inner_text("main"))
    (shape, *box), (label_shape, *label_box) = page.evaluate(_SIDES)
    if box != label_box or not shape or abs(shape / label_shape - 1) > 0.01:
        problems.append(f"the overlay ({label_shape}, {label_box}) does not lie on the image ({shape}, {box})")
    if page.locator("#legend li").count() == 0:
        problems.append("no legend")
    before = len(problems)
    drop(page, b"no image", "notes.txt", "text/plain")
    page.wait_for_selector("#status.bad")
    print("A text file:", page.inner_text("#status"))
    problems[before:] = [line for line in problems[before:] if " 400 " not in line]  # Chromium logs the refusal itself
    ours = (options.url, "data:", "blob:")
    return problems + [f"fetched from elsewhere: {url}" for url in elsewhere if not url.startswith(ours)]


def drop(page, content, name, kind):
    page.evaluate(_DROP, [base64.b64encode(content).decode(), name, kind])


if __name__ == "__main__":
    main()
