//! The page: static files, the package, and the model that it runs.

use std::path::Path;

use crate::{Result, at, copy, empty, package};

/// The folder of the page, in the repository.
pub const FOLDER: &str = "target/web/site";

/// The model of the page.
const MODEL: &str = "models/shakespeare.safetensors";

/// Assembles the page.
pub fn build(root: &Path) -> Result<()> {
    let folder = root.join(FOLDER);
    empty(&folder)?;
    copy(&root.join("examples/web"), &folder)?;
    copy(&root.join(package::FOLDER), &folder.join("package"))?;
    let (from, to) = (root.join(MODEL), folder.join(MODEL));
    at(&to, std::fs::create_dir_all(folder.join("models")))?;
    at(&from, std::fs::copy(&from, to))?;
    eprintln!("scripts/web: {}: the page", folder.display());
    Ok(())
}
