//! `modules.dep`: which modules a module needs, and in which order they are loaded.

use std::collections::HashMap;

/// The dependency file of one kernel, by module name.
#[derive(Debug)]
pub(crate) struct Dependencies<'a> {
    lines: HashMap<String, (&'a str, Vec<&'a str>)>,
}

/// `rdma_rxe` of `kernel/drivers/infiniband/sw/rxe/rdma_rxe.ko.xz`. Dashes and underscores are the same in module names.
fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

impl<'a> Dependencies<'a> {
    /// Reads what depmod has written: `PATH: PATH PATH ...`, all that is needed, the last one first to load.
    pub(crate) fn parse(text: &'a str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let lines = lines.map(|(path, needs)| (name(path), (path, needs.split_whitespace().collect())));
        Self { lines: lines.collect() }
    }

    /// The files to load for `wanted`, each once, every one after what it needs; or the name that is unknown.
    pub(crate) fn order(&self, wanted: &[&'static str]) -> Result<Vec<&'a str>, &'static str> {
        let mut order = Vec::new();
        for &module in wanted {
            let (path, needs) = self.lines.get(module).ok_or(module)?;
            for file in needs.iter().rev().chain([path]) {
                if !order.contains(file) {
                    order.push(*file);
                }
            }
        }
        Ok(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/a.ko.xz: kernel/b-b.ko.xz kernel/c.ko.xz\nkernel/b-b.ko.xz: kernel/c.ko.xz\nkernel/c.ko.xz:\n";

    #[test]
    fn what_is_needed_is_loaded_first_and_once() {
        let all = Dependencies::parse(DEP);
        assert_eq!(
            all.order(&["b_b", "a"]),
            Ok(vec!["kernel/c.ko.xz", "kernel/b-b.ko.xz", "kernel/a.ko.xz"])
        );
    }

    #[test]
    fn an_unknown_module_is_named() {
        assert_eq!(Dependencies::parse(DEP).order(&["c", "d"]), Err("d"));
    }
}
