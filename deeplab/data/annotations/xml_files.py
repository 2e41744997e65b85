"""Reads XML safely: element by element, without document types, so that no entity can grow."""

from xml.parsers import expat

from deeplab.errors import UserError
from deeplab.files import paths


def walk(path, start, end):
    """Calls `start(name, attributes, line)` and `end(name, text)` for the elements of an XML file, in its order.

    Raises:
      UserError: the file cannot be read, is damaged, or declares a document type.
    """
    parser, texts = expat.ParserCreate(), []

    def started(name, attributes):
        texts.append([])
        start(name, attributes, parser.CurrentLineNumber)

    def ended(name):
        end(name, "".join(texts.pop()).strip())

    def refuse(*_declaration):
        raise UserError(
            f"{path}: line {parser.CurrentLineNumber}: declares a document type, which is not read; remove it"
        )

    parser.StartElementHandler, parser.EndElementHandler = started, ended
    parser.CharacterDataHandler = lambda text: texts[-1].append(text) if texts else None
    parser.StartDoctypeDeclHandler = refuse
    parser.buffer_text = True
    try:
        with paths.open_regular(path) as file:
            parser.ParseFile(file)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise UserError(f"{path}: is no XML that can be read ({error}); export it again") from None
