"""Stand-ins for CTK's path fields and combo boxes."""

from typing import ClassVar

from PySide6 import QtCore, QtGui, QtWidgets

from host.dialogs import dialogs
from host.pythonqt.members import StandIn, host_property, host_signal, slot

FILTERS = {
    "Dirs": 1, "Files": 2, "Drives": 4, "NoSymLinks": 8, "AllEntries": 7, "TypeMask": 15, "Readable": 16,
    "Writable": 32, "Executable": 64, "PermissionMask": 112, "Modified": 128, "Hidden": 256, "System": 512,
    "AccessMask": 1008, "AllDirs": 1024, "CaseSensitive": 2048, "NoDotAndDotDot": 4096, "NoDot": 8192,
    "NoDotDot": 16384, "NoFilter": -1,
}  # fmt: skip


class ctkPathLineEdit(StandIn, QtWidgets.QWidget):
    """A field for the path of a file or folder, with a browse button."""

    python_module = "ctk"
    currentPathChanged = host_signal("currentPathChanged(QString)")
    validInputChanged = host_signal("validInputChanged(bool)")
    host_enums: ClassVar = {"Filters": FILTERS}

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._box = QtWidgets.QComboBox(self)
        self._box.setEditable(True)
        self._box.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._browse = QtWidgets.QToolButton(self)
        self._browse.setText("…")
        self._browse.clicked.connect(lambda: self.browse())
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box, 1)
        layout.addWidget(self._browse)
        self._values = {"label": "", "settingKey": "", "nameFilters": (), "filters": FILTERS["AllEntries"]}
        self._valid = False
        self._box.editTextChanged.connect(self._changed)

    def _changed(self, text: str) -> None:
        self.currentPathChanged.emit(text)
        information = QtCore.QFileInfo(text)
        filters = self._values["filters"]
        valid = bool(text) and (
            (information.isFile() and bool(filters & FILTERS["Files"]))
            or (information.isDir() and bool(filters & FILTERS["Dirs"]))
        )
        if valid != self._valid:
            self._valid = valid
            self.validInputChanged.emit(valid)

    @host_property(str)
    def currentPath(self) -> str:
        return self._box.currentText()

    @currentPath.setter
    def currentPath(self, value: str) -> None:
        if value != self._box.currentText():
            self._box.setEditText(value)

    @slot("setCurrentPath(QString)")
    def setCurrentPath(self, value: str) -> None:
        self.currentPath = value

    @host_property(tuple)
    def nameFilters(self) -> tuple:
        return self._values["nameFilters"]

    @nameFilters.setter
    def nameFilters(self, value: tuple) -> None:
        self._values["nameFilters"] = value

    @host_property(int)
    def filters(self) -> int:
        return self._values["filters"]

    @filters.setter
    def filters(self, value: int) -> None:
        self._values["filters"] = value

    @host_property(str)
    def settingKey(self) -> str:
        return self._values["settingKey"]

    @settingKey.setter
    def settingKey(self, value: str) -> None:
        self._values["settingKey"] = value

    @host_property(str)
    def label(self) -> str:
        return self._values["label"]

    @label.setter
    def label(self, value: str) -> None:
        self._values["label"] = value

    @host_property(bool)
    def showBrowseButton(self) -> bool:
        return self._browse.isVisibleTo(self)

    @showBrowseButton.setter
    def showBrowseButton(self, value: bool) -> None:
        self._browse.setVisible(value)

    @host_property(bool)
    def showHistoryButton(self) -> bool:
        return self._box.property("history") is not False

    @showHistoryButton.setter
    def showHistoryButton(self, value: bool) -> None:
        self._box.setProperty("history", value)

    @slot("browse()")
    def browse(self) -> None:
        path = dialogs.ask("ctkPathLineEdit.browse", self._values["label"], self._values["label"])
        if path:
            self.currentPath = path

    @slot("addCurrentPathToHistory()")
    def addCurrentPathToHistory(self) -> None:
        if self._box.findText(self.currentPath) < 0:
            self._box.addItem(self.currentPath)

    @slot("retrieveHistory()")
    def retrieveHistory(self) -> None:
        """Does nothing: the host keeps no history between tests."""

    @slot("comboBox()")
    def comboBox(self) -> QtWidgets.QComboBox:
        return self._box


class ctkDirectoryButton(StandIn, QtWidgets.QWidget):
    """A button that shows and chooses a folder."""

    python_module = "ctk"
    directoryChanged = host_signal("directoryChanged(QString)")
    directorySelected = host_signal("directorySelected(QString)")

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._button = QtWidgets.QPushButton(self)
        self._button.clicked.connect(lambda: self.browse())
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)

    @host_property(str)
    def directory(self) -> str:
        return self._button.text()

    @directory.setter
    def directory(self, value: str) -> None:
        if value != self._button.text():
            self._button.setText(value)
            self.directoryChanged.emit(value)

    @slot("browse()")
    def browse(self) -> None:
        path = dialogs.ask("ctkDirectoryButton.browse", "", "")
        if path:
            self.directory = path
            self.directorySelected.emit(path)


class ctkComboBox(StandIn, QtWidgets.QComboBox):
    """A combo box that shows a text of its own while nothing is chosen."""

    python_module = "ctk"

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._default_text = ""

    @host_property(str)
    def defaultText(self) -> str:
        return self._default_text

    @defaultText.setter
    def defaultText(self, value: str) -> None:
        self._default_text = value
        self.setPlaceholderText(value)

    @host_property(str)
    def currentUserDataAsString(self) -> str:
        return str(self.currentData() or "")

    @currentUserDataAsString.setter
    def currentUserDataAsString(self, value: str) -> None:
        self.setCurrentIndex(self.findData(value))

    @slot("setCurrentUserDataAsString(QString)")
    def setCurrentUserDataAsString(self, value: str) -> None:
        self.currentUserDataAsString = value


class ctkCheckableComboBox(StandIn, QtWidgets.QComboBox):
    """A combo box whose entries have check boxes."""

    python_module = "ctk"
    checkedIndexesChanged = host_signal("checkedIndexesChanged()")

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.setModel(QtGui.QStandardItemModel(0, 1, self))
        self.model().rowsInserted.connect(self._make_checkable)
        self.model().itemChanged.connect(lambda _: self.checkedIndexesChanged.emit())

    def _make_checkable(self, parent, first: int, last: int) -> None:
        for row in range(first, last + 1):
            item = self.model().item(row)
            item.setFlags(item.flags() | QtCore.Qt.ItemFlag.ItemIsUserCheckable)
            item.setData(QtCore.Qt.CheckState.Unchecked, QtCore.Qt.ItemDataRole.CheckStateRole)

    @slot("checkedIndexes()")
    def checkedIndexes(self) -> list:
        items = [self.model().item(row) for row in range(self.count())]
        return [item.index() for item in items if item.checkState() == QtCore.Qt.CheckState.Checked]

    @slot("allChecked()")
    def allChecked(self) -> bool:
        return len(self.checkedIndexes()) == self.count()

    @slot("noneChecked()")
    def noneChecked(self) -> bool:
        return not self.checkedIndexes()

    @slot("setCheckState(QModelIndex,Qt::CheckState)")
    def setCheckState(self, index: QtCore.QModelIndex, state: QtCore.Qt.CheckState) -> None:
        self.model().itemFromIndex(index).setCheckState(QtCore.Qt.CheckState(state))

    @slot("checkState(QModelIndex)")
    def checkState(self, index: QtCore.QModelIndex) -> QtCore.Qt.CheckState:
        return self.model().itemFromIndex(index).checkState()
