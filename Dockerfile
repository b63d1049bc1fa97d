# pcgen with the system libraries of Open3D and a C compiler for its loops. Never built here: there
# was no Docker daemon. Its steps are those of `make package`, which are tested without Docker.
#
#   docker build -t pcgen .
#   docker run --rm -v "$PWD:/work" pcgen sample seats --count 12 --out seats.npz
FROM python:3.13-slim-bookworm

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        gcc libc6-dev g++ libusb-1.0-0 libgl1 libgomp1 libx11-6 libvulkan1 mesa-vulkan-drivers \
    && rm -rf /var/lib/apt/lists/*

# All of the checkout, so that the starter data are there: pcgen prepare starter.
COPY . /pcgen
RUN pip install --no-cache-dir -c /pcgen/constraints.txt -e /pcgen

# Compiled loops and finished tables; a user other than root needs a folder to write to.
ENV XDG_CACHE_HOME=/tmp/cache
WORKDIR /work
ENTRYPOINT ["pcgen"]
CMD ["--help"]
