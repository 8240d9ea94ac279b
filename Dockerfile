# The command ecg-hough for processors: weights inside, no rights, no network and no writable root needed.
#   docker build -t ecg-hough .
#   docker run --rm --network none --read-only --tmpfs /tmp -v "$PWD:/data" ecg-hough predict /data/samples -o /data/out
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
# Which extras are in: those of one machine. Torch and Ray are not.
ARG EXTRAS=ocr,dicom,edf,heic,serve,batch
COPY pyproject.toml constraints.txt README.md LICENSE CHANGELOG.md CITATION.cff ./
COPY src src
COPY nnunet_configs nnunet_configs
RUN python -m venv /opt/venv
# Without what a reader of pages never loads: tests, headers, the installer, other hardware, networks of other
# programs, RPC, Amazon's other services.
RUN /opt/venv/bin/pip install --no-compile --only-binary :all: --no-binary ecg-hough -c constraints.txt ".[${EXTRAS}]" \
    && find /opt/venv -name tests -type d -prune -exec rm -rf {} + \
    && find /opt/venv -name __pycache__ -type d -prune -exec rm -rf {} + \
    && find /opt/venv/lib \( -path "*/pyarrow/include" -o -path "*/site-packages/pip" \) -prune -exec rm -rf {} + \
    && find /opt/venv/lib \( -name "*_intel_gpu_plugin*" -o -name "*_intel_npu*" -o -path "*/openvino/libs/cache.json" \
        -o -name "libarrow_flight*" -o -name "libarrow_s3*" \) -delete \
    && find /opt/venv/lib -name "libopenvino_*_frontend*" ! -name "*_onnx_*" ! -name "*_ir_*" -delete \
    && find /opt/venv/lib -path "*/botocore/data/*" -type d ! -path "*/data/s3*" ! -path "*/data/sts*" ! -path "*/data/sso*" \
        -prune -exec rm -rf {} +

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="ecg-hough" \
      org.opencontainers.image.description="Images of printed 12-lead ECGs to calibrated signals in millivolts" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/venv /opt/venv
# Compiled networks and modules go to /tmp, a tmpfs where the root is read-only.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPYCACHEPREFIX=/tmp/python \
    ECG_HOUGH_CACHE=/tmp/ecg-hough \
    MPLCONFIGDIR=/tmp/matplotlib \
    HOME=/tmp
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin hough
USER 10001:10001
WORKDIR /data
ENTRYPOINT ["ecg-hough"]
CMD ["--help"]
