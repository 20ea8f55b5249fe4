//! Compiles every .proto below `streamgauge/`, without protoc, and keeps their descriptors for gRPC reflection.

use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("streamgauge");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();

    let descriptors = protox::compile(&files, ["."])?;
    #[allow(clippy::disallowed_methods, reason = "this is how Cargo tells a build script")]
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    // Much larger than the other states, of which there may be many in memory.
    let sessions = ".streamgauge.storage.v1.MeasureState.state.sessions";
    tonic_prost_build::configure().boxed(sessions).compile_fds(descriptors)?;

    // Not ours, and no part of what reflection tells.
    let prometheus = "prometheus/metrics.proto";
    println!("cargo::rerun-if-changed={prometheus}");
    tonic_prost_build::configure().compile_fds(protox::compile([prometheus], ["."])?)?;
    Ok(())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
