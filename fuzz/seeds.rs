//! Writes the seeds of every target into `corpus/`, for a first run to begin from.

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    for (name, _) in meetmind_media::hostile::DOORS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        fs::create_dir_all(&folder)?;
        for (number, seed) in meetmind_media::hostile::seeds(name).iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
