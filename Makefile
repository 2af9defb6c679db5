# `make help` lists the targets. All of them set up what is missing first, and
# work offline once that is there.

DOCUMENTS ?= 1000
MODEL     ?= models/tagbert-small
DELIVERY  ?= at-least-once
FAULTS    ?= 200
SEED      ?= 1
MINUTES   ?= 30
FAILPOINTS ?=
cargo     := cargo --locked
tagbert   := target/release/tagbert
data      := $(if $(DATA),TAGBERT_DATA=$(DATA))

# The official build of ONNX Runtime reports to its makers unless told not to.
export ORT_DISABLE_TELEMETRY = 1

# jemalloc runs where pages are as large as where it was built, or smaller: on ARM they have 64 KiB at most.
ifeq ($(shell uname -m),aarch64)
export JEMALLOC_SYS_WITH_LG_PAGE = 16
endif

# Cargo and the set-up use all cores by themselves, and must not run twice at once.
.NOTPARALLEL:
.PHONY: build ort-gpu demo test dist dist-reproduce dist-test deploy-test chaos soak rehearsal bench bench-micro bench-variants bench-engines scale tables wheel wheel-test model model-eval fmt lint clean help

build: target/release/libonnxruntime.so  ## the worker, as target/release/tagbert (the default)
	@scripts/setup.sh build
	$(cargo) build --release

# The worker looks for ONNX Runtime beside itself.
target/%/libonnxruntime.so: scripts/setup.sh
	@scripts/setup.sh runtime
	@install -D .cache/onnxruntime/libonnxruntime.so $@

ort-gpu: build  ## the worker with ONNX Runtime for NVIDIA GPUs (docs/GPU.md)
	@scripts/setup.sh runtime-gpu
	@install -D -t target/release .cache/onnxruntime-gpu/*.so

demo: build  ## tag real documents, DOCUMENTS=1000 of them or all, with MODEL, on an embedded broker
	@scripts/setup.sh corpus
	$(tagbert) demo --documents $(DOCUMENTS) --model $(MODEL)

# Not from build: tests are compiled by the profile `dev`, in less time.
test: target/debug/libonnxruntime.so  ## everything, against a real Apache Kafka too
	@scripts/setup.sh test
	@scripts/test.sh

# BINARY: one that is there already, instead of building it.
dist:  ## a release in target/dist: archive, Debian package, SBOM, checksums; for x86_64 Linux with glibc 2.28 or later
	@scripts/setup.sh build runtime tools dist
	@binary=$${BINARY:-$$(scripts/dist/build.sh)} && scripts/dist/release.py "$$binary"

dist-reproduce:  ## whether two builds of what is committed are the same bytes (half an hour and more)
	@scripts/setup.sh build dist
	@scripts/dist/reproduce.sh

# TAGBERT_REQUIRE: all is set up, so a test whose tool is missing has failed.
dist-test:  ## what `make dist` has made, on bare Debian 11, 12 and 13 (as root)
	@scripts/setup.sh roots
	@TAGBERT_REQUIRE=1 python3 -m unittest discover --start-directory tests/dist

# TAGBERT_REQUIRE: as above.
deploy-test: build  ## the Helm chart and kustomize: by Helm 3 and 4, kubeconform, and a real API server (built once, in minutes)
	@scripts/setup.sh tools helm apiserver
	@TAGBERT_REQUIRE=1 .cache/tools-venv/bin/python -m unittest discover --start-directory deploy/tests

# The demo's DOCUMENTS are fewer.
chaos: DOCUMENTS = 50000
chaos: target/release/libonnxruntime.so  ## FAULTS=200 on DOCUMENTS=50000, with DELIVERY, SEED, and ROW=name for one row
	@scripts/setup.sh build corpus kafka toxiproxy
	$(cargo) test --release --features failpoints --test chaos -- chaos --delivery $(DELIVERY) --faults $(FAULTS) \
	    --documents $(DOCUMENTS) --seed $(SEED) --minutes $(MINUTES) --only '$(ROW)' --failpoints '$(FAILPOINTS)'

soak: target/release/libonnxruntime.so  ## constant load and faults for MINUTES=30: does anything grow?
	@scripts/setup.sh build corpus kafka toxiproxy
	$(cargo) test --release --test chaos -- soak --delivery $(DELIVERY) --seed $(SEED) --minutes $(MINUTES)

# All of it writes the page and its picture anew; ACT=name is some of it.
rehearsal: DELIVERY = exactly-once
rehearsal: DOCUMENTS = 20000
rehearsal: target/release/libonnxruntime.so  ## a cluster on one machine: updates, scaling by lag, lost nodes, limits, into docs/REHEARSAL.md; ACT=name
	@scripts/setup.sh build corpus kafka toxiproxy plot
	$(cargo) test --release --test chaos -- rehearse --delivery $(DELIVERY) --model $(MODEL) --documents $(DOCUMENTS) \
	    $(if $(ACT),--only '$(ACT)',--write)
	@$(if $(ACT),,.cache/plot-venv/bin/python scripts/rehearsal.py target/tmp/rehearsal.json docs/rehearsal.png)

# Not from build either.
bench: target/release/libonnxruntime.so  ## how fast it is, into benches/RESULTS.md; QUICK=1, FULL=1; PEERS=all fetches PyTorch to compare with
	@scripts/setup.sh build corpus kafka peers $(if $(filter all,$(PEERS)),peers-torch)
	$(cargo) bench --bench speed

bench-micro: target/release/libonnxruntime.so  ## documents a second and core beside the model: decode, tokenize, batch, assemble, encode
	@scripts/setup.sh build corpus
	$(cargo) bench --bench micro

bench-variants:  ## the model in other forms and settings, side by side, into benches/VARIANTS.md (6 min)
	@scripts/setup.sh corpus peers
	@.cache/peers-venv/bin/python benches/variants.py

bench-engines: wheel-test  ## the Python package in Spark, Ray, Polars and DuckDB beside `tagbert enrich`, into benches/RESULTS.md (15 min)
	@scripts/setup.sh corpus peers-torch
	@.cache/wheel-test-venv/bin/python benches/engines.py --write

scale:  ## a thousand workers, simulated, into benches/SCALE.md (SEED=1; a minute)
	@python3 benches/scale --seed $(SEED)

tables: build  ## the output topic, JSON and Avro, into Delta, Parquet, Iceberg and files, by Spark and Kafka Connect, which are killed (docs/TABLES.md)
	@scripts/setup.sh tables registry
	@.cache/tables-venv/bin/python -m unittest discover --verbose --start-directory tests/tables

# From build: it is the worker's library with an interface.
wheel: build  ## the Python package for Spark, Ray, Polars and DuckDB, as target/wheels/tagbert-….whl (docs/PYTHON.md)
	@scripts/setup.sh wheel
	@scripts/wheel.sh build --release

wheel-test: wheel  ## the Python package in a new environment: alone, and in PySpark, Ray Data, Polars and DuckDB
	@scripts/setup.sh engines
	@scripts/wheel.sh test

model: build  ## train both models anew (five hours); DATA=folder with the public sets; MINUTES=2 only tries it out
	@scripts/setup.sh corpus
	@$(data) models/recipe/make-model.sh

model-eval: build  ## how well MODEL=models/tagbert-small tags, or its VARIANT; DATA=folder with the public sets
	@scripts/setup.sh corpus
	@$(data) python3 models/recipe/evaluate.py --model $(MODEL) --worker $(tagbert) $(if $(VARIANT),--variant $(VARIANT))

fmt:  ## format the code
	cargo fmt --all

lint:  ## format, clippy, documentation, licences, scripts
	@scripts/setup.sh build tools
	@scripts/lint.sh

clean:  ## remove what was built; .cache/, what was fetched, stays
	cargo clean

help:  ## this list
	@awk -F ':.*##' '/^[a-z-]+:.*##/ { printf "make %-15s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)
