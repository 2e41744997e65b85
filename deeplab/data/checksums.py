"""The checksum of the length of a record. TensorFlow's readers check the bytes, but have no function for a checksum.

Source: the format of TFRecord files, tensorflow/core/lib/io/record_writer.h; CRC-32C is RFC 3720, appendix B.4.
"""

_POLYNOMIAL = 0x82F63B78  # of CRC-32C, with its bits reversed
_MASK_DELTA = 0xA282EAD8  # TFRecord files store a rotated checksum plus this number


def _entry(byte):
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = tuple(_entry(byte) for byte in range(256))


def of_length(content):
    """Returns the masked CRC-32C of a few bytes; a loop in Python, so not for the bytes of a record."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF
