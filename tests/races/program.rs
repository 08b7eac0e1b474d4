//! A kernel's text as a program, and a dispatch of it.

use naga::AddressSpace;
use wgpu_rnn::internals::kernel::{Kernel, Overrides};
use wgpu_rnn::internals::plan::recording::Dispatch;

use crate::machine::Machine;
use crate::memory::Variable;
use crate::types::sizes;
use crate::wgsl::{Specialised, parse, specialise};

/// A specialised kernel.
pub struct Program {
    text: String,
    specialised: Specialised,
    kernel: Kernel,
    components_alone: bool,
}

/// The storage buffers of a dispatch after it, and the barriers that each workgroup passed.
pub struct Ran {
    pub buffers: Vec<Vec<u32>>,
    pub barriers: Vec<u32>,
}

impl Program {
    /// The program of a text of the kernel.
    pub fn new(kernel: Kernel, overrides: &Overrides, text: String) -> Result<Self, String> {
        let shader = parse(&text)?;
        let values: Vec<(&str, u32)> =
            kernel.overrides().map(|entry| (entry.name, (entry.get)(overrides))).collect();
        let specialised = specialise(&shader, kernel.row().entry, &values)
            .map_err(|error| format!("{values:?}: {error}"))?;
        // Volatile memory is for SPIR-V alone, which stores components alone.
        Ok(Self { text, specialised, kernel, components_alone: overrides.volatile == 1 })
    }

    /// Runs a dispatch at a step, on the words of its bindings.
    pub fn run(
        &self,
        dispatch: &Dispatch,
        index: u32,
        bindings: &[Vec<u32>],
    ) -> Result<Ran, String> {
        let module = &self.specialised.module;
        let sizes = sizes(module);
        let count = dispatch.workgroups.iter().product::<u32>() as usize;
        let numbers: Vec<u32> = self.kernel.bindings().map(|binding| binding.index).collect();
        let of_binding = |number| numbers.iter().position(|&other| other == number);
        let variables = module.global_variables.iter().map(|(_, variable)| {
            let size = sizes[variable.ty.index()];
            let words = match (variable.space, variable.binding) {
                (AddressSpace::WorkGroup, None) => Vec::new(),
                (AddressSpace::Uniform, Some(at)) if at.binding == 0 => {
                    bytemuck::pod_collect_to_vec(dispatch.dims.bytes())
                }
                (AddressSpace::Uniform, Some(at)) if at.binding == 1 => {
                    vec![dispatch.index(index), 0, 0, 0]
                }
                (AddressSpace::Storage { .. }, Some(at)) => {
                    let place =
                        of_binding(at.binding).ok_or("a binding that is not in the table")?;
                    bindings[place].clone()
                }
                (space, _) => return Err(format!("{space:?} is not interpreted")),
            };
            Ok(Variable::new(variable, size, words, count))
        });
        let variables = variables.collect::<Result<Vec<_>, String>>()?;
        let group = module.entry_points[0].workgroup_size.iter().product::<u32>() as usize;
        let mut machine = Machine {
            program: &self.specialised,
            text: &self.text,
            lanes: group * count,
            group,
            workgroups: dispatch.workgroups,
            variables,
            barriers: vec![0; count],
            storage_barriers: vec![0; count],
            sizes,
            components_alone: self.components_alone,
        };
        machine.run()?;
        let number = |(_, variable): (_, &naga::GlobalVariable)| {
            matches!(variable.space, AddressSpace::Storage { .. })
                .then(|| variable.binding.and_then(|at| of_binding(at.binding)))
                .flatten()
        };
        let mut buffers = bindings.to_vec();
        let places: Vec<Option<usize>> = module.global_variables.iter().map(number).collect();
        for (place, variable) in places.into_iter().zip(machine.variables) {
            if let Some(place) = place {
                buffers[place] = variable.words;
            }
        }
        Ok(Ran { buffers, barriers: machine.barriers })
    }
}
