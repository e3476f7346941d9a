//! Container image, from scratch: one layer with the program and two empty folders.
//!
//! The archive is an OCI layout with a `manifest.json`, so podman, docker and skopeo all load it.

use super::{Dist, copy, create, said, shown, write};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// User and group of the program: those of nobody.
const NOBODY: &str = "65534";

/// Writes the layout: blobs under their digests, and the files that name them.
fn write_layout(dist: &Dist, layout: &Path) -> Result<(), String> {
    let layer = layer(dist)?;
    let layer_size = size(&layer)?;
    let layer = store(layout, &layer)?;
    let config = config(dist, &layer)?;
    let config_file = dist.staging.join("config.json");
    write(&config_file, &config)?;
    let config_digest = store(layout, &config_file)?;
    let manifest = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
         \"config\":{{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\
         \"digest\":\"sha256:{config_digest}\",\"size\":{}}},\
         \"layers\":[{{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\
         \"digest\":\"sha256:{layer}\",\"size\":{layer_size}}}]}}",
        config.len()
    );
    let manifest_file = dist.staging.join("manifest.json");
    write(&manifest_file, &manifest)?;
    let manifest_digest = store(layout, &manifest_file)?;
    let version = dist.version;
    let index = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\
         \"manifests\":[{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
         \"digest\":\"sha256:{manifest_digest}\",\"size\":{},\
         \"platform\":{{\"architecture\":\"amd64\",\"os\":\"linux\"}},\
         \"annotations\":{{\"org.opencontainers.image.ref.name\":\"{version}\",\
         \"io.containerd.image.name\":\"docker.io/library/betacrew:{version}\"}}}}]}}",
        manifest.len()
    );
    write(&layout.join("index.json"), index)?;
    write(&layout.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}")?;
    // Older programs read this file instead.
    let older = format!(
        "[{{\"Config\":\"blobs/sha256/{config_digest}\",\"RepoTags\":[\"betacrew:{version}\"],\
         \"Layers\":[\"blobs/sha256/{layer}\"]}}]"
    );
    write(&layout.join("manifest.json"), older)
}

/// Writes the image's archive.
pub(super) fn archive(dist: &Dist) -> Result<(), String> {
    let layout = dist.staging.join("layout");
    create(&layout.join("blobs/sha256"))?;
    write_layout(dist, &layout)?;
    dist.tar(&layout, &dist.out(&format!("betacrew-{}-oci.tar", dist.version)))
}

/// Writes the layer: files of root, and two folders in which the program may write.
fn layer(dist: &Dist) -> Result<PathBuf, String> {
    let (root, layer) = (dist.staging.join("rootfs"), dist.staging.join("layer.tar"));
    copy(&dist.staging.join("betacrew"), &root.join("usr/bin/betacrew"))?;
    dist.tar(&root, &layer)?;
    let writable = dist.staging.join("writable");
    for folder in ["data", "tmp"] {
        create(&writable.join(folder))?;
    }
    let mut append = Command::new("tar");
    append.args(["--append", "--sort=name", "--format=gnu", "--numeric-owner", "--mode=0755"]);
    append.arg(format!("--owner={NOBODY}")).arg(format!("--group={NOBODY}"));
    append.arg(format!("--mtime=@{}", dist.epoch)).arg("--file").arg(&layer);
    append.arg("--directory").arg(&writable).args(["./data", "./tmp"]);
    shown(&mut append)?;
    Ok(layer)
}

/// Returns the configuration: user, start, health check.
fn config(dist: &Dist, layer: &str) -> Result<String, String> {
    let date = said(
        Command::new("date")
            .args(["--utc", "+%Y-%m-%dT%H:%M:%SZ"])
            .arg(format!("--date=@{}", dist.epoch)),
    )?;
    Ok(format!(
        "{{\"created\":\"{}\",\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{{\
         \"User\":\"{NOBODY}:{NOBODY}\",\"ExposedPorts\":{{\"3000/tcp\":{{}}}},\
         \"Env\":[\"PATH=/usr/bin\"],\"WorkingDir\":\"/data\",\"StopSignal\":\"SIGTERM\",\
         \"Entrypoint\":[\"/usr/bin/betacrew\"],\
         \"Cmd\":[\"serve\",\"--listen\",\"0.0.0.0:3000\",\"--http\",\"127.0.0.1:8080\"],\
         \"Healthcheck\":{{\"Test\":[\"CMD\",\"/usr/bin/betacrew\",\"health\",\"127.0.0.1:8080\"],\
         \"Interval\":10000000000,\"Timeout\":3000000000,\"Retries\":3}},\
         \"Labels\":{{\"org.opencontainers.image.title\":\"betacrew\",\
         \"org.opencontainers.image.version\":\"{}\",\
         \"org.opencontainers.image.revision\":\"{}\",\
         \"org.opencontainers.image.licenses\":\"MIT OR Apache-2.0\"}}}},\
         \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"sha256:{layer}\"]}}}}",
        date.trim(),
        dist.version,
        dist.commit
    ))
}

/// Copies a file to its place in the layout, which its digest names, and returns the digest.
fn store(layout: &Path, file: &Path) -> Result<String, String> {
    let sum = said(Command::new("sha256sum").arg(file))?;
    let digest = sum.split_whitespace().next().unwrap_or_default().to_owned();
    copy(file, &layout.join("blobs/sha256").join(&digest))?;
    Ok(digest)
}

fn size(file: &Path) -> Result<u64, String> {
    let facts = fs::metadata(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(facts.len())
}
