"""Made images, and every kind of file that they can be kept in."""

import io
import struct
import zipfile

import numpy as np
from PIL import Image


def made(n, height=6, width=6, channels=3, seed=0):
    """(n, height, width, channels) uint8, every image another."""
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, channels), np.uint8)


def encoded(image, kind="PNG", **options):
    """The bytes of a picture file; of an array (H, W, C) or a PIL image."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def write_folder(folder, images, name="{:03d}.png"):
    """Pictures 000.png, 001.png ..., in folders if the name has slashes."""
    for i, image in enumerate(images):
        path = folder / name.format(i)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(image))
    return folder


def write_zip(path, folder):
    """A folder, packed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    return path


def example(**features):
    """A serialised tf.train.Example, made by protobuf: bytes, integers or floats by name."""
    from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

    def feature(value):
        if isinstance(value, bytes):
            return tf_feature_pb2.Feature(bytes_list=tf_feature_pb2.BytesList(value=[value]))
        values = np.ravel(value)
        if values.dtype.kind == "f":
            return tf_feature_pb2.Feature(float_list=tf_feature_pb2.FloatList(value=values))
        return tf_feature_pb2.Feature(int64_list=tf_feature_pb2.Int64List(value=values))

    made = {name: feature(value) for name, value in features.items()}
    return tf_example_pb2.Example(
        features=tf_feature_pb2.Features(feature=made)
    ).SerializeToString()


def stylegan(image, **more):
    """An Example as StyleGAN's: raw pixels, channels first."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1))
    return example(shape=planes.shape, data=planes.tobytes(), **more)


def write_tfrecord(path, records):
    """A TFRecord file, its checksums by tensorboardX."""
    from tensorboardX.record_writer import masked_crc32c

    with open(path, "wb") as stream:
        for record in records:
            length = struct.pack("<Q", len(record))
            stream.write(length + struct.pack("<I", masked_crc32c(length)))
            stream.write(record + struct.pack("<I", masked_crc32c(record)))
    return path


def write_array_record(path, records):
    """An array_record file."""
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(path), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()
    return path
