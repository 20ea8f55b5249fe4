# Small pictures for the documents: pictures.py moving OUT.webp MS FRAME... | pictures.py still OUT.png PICTURE
import sys

from PIL import Image

what, out, *rest = sys.argv[1:]
if what == "moving":
    frames = [Image.open(path).convert("RGB") for path in rest[1:]]
    frames[0].save(out, save_all=True, append_images=frames[1:], duration=int(rest[0]), loop=0, quality=75, method=4)
else:
    Image.open(rest[0]).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(out, optimize=True)
