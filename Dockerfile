# pcgen with the system libraries of Open3D, a C compiler for its loops, and the page for browsers.
#
#   docker build -t pcgen .
#   docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/work" pcgen sample seats --count 12 --out seats.npz
#   docker run --rm -p 127.0.0.1:8080:8080 pcgen view seats --web --host 0.0.0.0
#
# The Python is the one that all tests run with. On x86-64 pip takes torch with CUDA, several GB.
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        gcc libc6-dev g++ libusb-1.0-0 libegl1 libgl1 libgomp1 libx11-6 libvulkan1 mesa-vulkan-drivers \
    && rm -rf /var/lib/apt/lists/*

COPY . /pcgen
RUN pip install --no-cache-dir -c /pcgen/constraints.txt '/pcgen[web]'

# Compiled loops and finished tables; a user other than root needs a folder to write to.
ENV XDG_CACHE_HOME=/tmp/cache
WORKDIR /work
ENTRYPOINT ["pcgen"]
CMD ["--help"]
