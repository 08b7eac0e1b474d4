//! The WGSL against the kernel table, the host's structs and every shading language that it is translated to.
//!
//! No GPU is needed. Every rule is a function that says what is wrong with a kernel; the rule's test applies it to the
//! whole table, and its neighbour applies it to kernels that were broken on purpose and must be refused, with the
//! reason. wgpu and naga check little of this: an override escapes the limits, a barrier may stand in a branch, and a
//! member of a struct may be anywhere.

mod barriers;
mod bindings;
mod completeness;
mod layout;
mod portability;
mod specialisation;
mod uniformity;
mod writers;

use naga::Module;
use naga::front::wgsl;
use naga::valid::{
    Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator,
};
use wgpu_rnn::internals::diagnostics::calibrate::kernels::KERNELS as PROBES;
use wgpu_rnn::internals::kernel::{KERNELS, Kernel};

/// What a rule found: nothing, or what is wrong.
type Verdict = Result<(), String>;

/// A kernel's WGSL, parsed and valid.
struct Shader {
    module: Module,
    info: ModuleInfo,
}

/// Parses and validates with no capability beyond WGSL's core, to which `unpack2x16float` belongs, and subgroups, which
/// the rule of capabilities grants to few.
fn parse(text: &str) -> Result<Shader, String> {
    parse_with(text, Capabilities::SHADER_FLOAT16_IN_FLOAT32 | Capabilities::SUBGROUP)
}

fn parse_with(text: &str, capabilities: Capabilities) -> Result<Shader, String> {
    let mut options = wgsl::Options::new();
    options.capabilities = Capabilities::empty();
    let module = wgsl::Frontend::new_with_options(options)
        .parse(text)
        .map_err(|error| error.emit_to_string(text))?;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_stages(ShaderStages::COMPUTE)
        .subgroup_operations(SubgroupOperationSet::all())
        .validate(&module)
        .map_err(|error| error.emit_to_string(text))?;
    Ok(Shader { module, info })
}

/// Both tables: the kernels of networks, and those that measure a device.
fn all_kernels() -> Vec<&'static Kernel> {
    KERNELS.into_iter().chain(PROBES).collect()
}

/// The row of the table under this name.
fn kernel_named(name: &str) -> &'static Kernel {
    all_kernels()
        .into_iter()
        .find(|kernel| kernel.name == name)
        .unwrap_or_else(|| panic!("no kernel {name} in the table"))
}

/// A row of the table with another text. Leaks it, as rows hold static text.
fn with_text(kernel: &Kernel, text: String) -> Kernel {
    Kernel { wgsl: text.leak(), ..*kernel }
}

/// A row of the table with one passage of its text replaced.
fn with_passage(kernel: &Kernel, passage: &str, replacement: &str) -> Kernel {
    assert!(kernel.wgsl.contains(passage), "{}: there is no '{passage}' to replace", kernel.name);
    with_text(kernel, kernel.wgsl.replacen(passage, replacement, 1))
}

/// A row of the table with a name changed wherever its text has it.
fn with_every_passage(kernel: &Kernel, passage: &str, replacement: &str) -> Kernel {
    assert!(kernel.wgsl.contains(passage), "{}: there is no '{passage}' to replace", kernel.name);
    with_text(kernel, kernel.wgsl.replace(passage, replacement))
}

/// Applies a rule to both tables.
fn assert_all_accepted(rule: impl Fn(&Kernel) -> Verdict) {
    let refused: Vec<String> = all_kernels()
        .into_iter()
        .filter_map(|kernel| rule(kernel).err().map(|e| format!("{}: {e}", kernel.name)))
        .collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// Asserts that a rule found what was broken, and says so.
fn assert_refused(broken: &str, verdict: Verdict, reason: &str) {
    match verdict {
        Ok(()) => panic!("{broken}: accepted, want a refusal with '{reason}'"),
        Err(got) => {
            assert!(got.contains(reason), "{broken}: refused with '{got}', want '{reason}'")
        }
    }
}
