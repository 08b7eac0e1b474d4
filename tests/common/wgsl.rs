//! WGSL through naga, as wgpu takes it.

#![allow(dead_code, reason = "each test program uses some of it")]

use naga::back::PipelineConstants;
use naga::back::pipeline_constants::{PipelineConstantError, process_overrides};
use naga::front::wgsl;
use naga::valid::{
    Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator,
};
use naga::{Module, ShaderStage};

/// A kernel's WGSL, parsed and valid.
pub struct Shader {
    pub module: Module,
    pub info: ModuleInfo,
}

/// A module without overrides.
pub struct Specialised {
    pub module: Module,
    pub info: ModuleInfo,
}

/// Parses and validates WGSL with the core's capabilities, which include `unpack2x16float`, and
/// with those that fragments of `persistent` need.
pub fn parse(text: &str) -> Result<Shader, String> {
    let all = Capabilities::SHADER_FLOAT16_IN_FLOAT32
        | Capabilities::SUBGROUP
        | Capabilities::MEMORY_DECORATION_COHERENT
        | Capabilities::MEMORY_DECORATION_VOLATILE;
    parse_with(text, all)
}

pub fn parse_with(text: &str, capabilities: Capabilities) -> Result<Shader, String> {
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

/// Specialises a module as wgpu does when it builds a pipeline.
pub fn specialise(
    shader: &Shader,
    entry: &str,
    values: &[(&str, u32)],
) -> Result<Specialised, Box<PipelineConstantError>> {
    let constants: PipelineConstants =
        values.iter().map(|&(name, value)| (name.to_owned(), f64::from(value))).collect();
    let entry = Some((ShaderStage::Compute, entry));
    let (module, info) = process_overrides(&shader.module, &shader.info, entry, &constants)?;
    Ok(Specialised { module: module.into_owned(), info: info.into_owned() })
}
