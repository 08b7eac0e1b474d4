//! Types of WGSL in words. Values have no padding: each scalar is one word.

use naga::proc::IndexableLength;
use naga::{ArraySize, Module, ScalarKind, TypeInner};

/// Words of each type of a module.
pub fn sizes(module: &Module) -> Vec<usize> {
    let mut sizes = Vec::new();
    for (_, ty) in module.types.iter() {
        sizes.push(words_of(module, &ty.inner, &sizes));
    }
    sizes
}

/// Words of a value of a type, from those of the types before it.
pub fn words_of(module: &Module, inner: &TypeInner, sizes: &[usize]) -> usize {
    match *inner {
        TypeInner::Scalar(_) | TypeInner::Atomic(_) => 1,
        TypeInner::ValuePointer { size: None, .. } => 1,
        TypeInner::Vector { size, .. } | TypeInner::ValuePointer { size: Some(size), .. } => {
            size as usize
        }
        TypeInner::Matrix { columns, rows, .. } => columns as usize * rows as usize,
        TypeInner::Array { base, size, .. } => {
            sizes[base.index()] * length_of(module, size).unwrap_or(0)
        }
        TypeInner::Struct { ref members, .. } => {
            members.iter().map(|member| sizes[member.ty.index()]).sum()
        }
        _ => 0,
    }
}

/// The elements of an array; `None` where its buffer decides.
pub fn length_of(module: &Module, size: ArraySize) -> Option<usize> {
    match size.resolve(module.to_ctx()) {
        Ok(IndexableLength::Known(length)) => Some(length as usize),
        _ => None,
    }
}

/// The kind of the scalars of a type.
pub fn kind_of(inner: &TypeInner) -> ScalarKind {
    inner.scalar().map_or(ScalarKind::Uint, |scalar| scalar.kind)
}
